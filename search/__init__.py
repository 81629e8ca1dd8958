"""The platform: space → engine → trial → study → promotion, and `sitenet`."""
