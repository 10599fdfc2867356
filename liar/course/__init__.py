"""The course: lessons as data, whose figures are read from the runs and atlases that come with the package."""
