"""Server of the page: the queue of jobs, the models in memory, the limits of visitors, and the HTTP around Gradio."""
