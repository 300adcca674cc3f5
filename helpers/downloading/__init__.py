"""From an address to a clip: the web, pages of videos, their pace and their refusals."""
