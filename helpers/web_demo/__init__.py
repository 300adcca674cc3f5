"""The web demo: three tabs on which a voice becomes a face. `page` puts them together."""
