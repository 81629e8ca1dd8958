"""The platform: space → engine → trial → study → tracking → promotion, and `sitenet`."""
