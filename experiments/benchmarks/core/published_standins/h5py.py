"""Stand-in for the file format in which the published code keeps features."""
