"""Stand-in for the download of the data set."""
