"""The layers and networks that are trained here, without what trains them."""
