"""Results into sentences, tables, figures and files. Light: nothing here loads torch."""
