"""What serves the page: the queue of jobs, the models in memory, who may ask for what, and the HTTP around Gradio."""
