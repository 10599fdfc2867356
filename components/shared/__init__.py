"""What several panels use: the services of a page, buttons of jobs, markup and scripts."""
