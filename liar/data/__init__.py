"""Text for calibration and evaluation: the demo bundle, local files and hub datasets behind one loader."""

from liar.data.corpora import calibration_batches, evaluation_windows
from liar.data.tasks import LabelledText, task_items

__all__ = ["LabelledText", "calibration_batches", "evaluation_windows", "task_items"]
