"""Glossary of the recipe: one sentence of help beside each control, and a term that opens a longer explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from liar.choices import IMPORTANCE, REPAIRS
from liar.presets import named
from liar.report.words.metric_sentences import capitalised
from liar.tasks.metrics import METRICS
from liar.tasks.record import OF_LANGUAGE_MODELS
from liar.tasks.registry import TASKS


@dataclass(frozen=True, slots=True)
class Term:
    """Sentence under a control (``help``), and a ``question`` that opens ``answer`` and a sentence for each choice."""

    help: str
    question: str
    answer: str
    choices: Mapping[str, str] = field(default_factory=dict)

    def markup(self, also: str = "", shown: str = "?") -> str:
        """HTML disclosure, which can be opened with the keyboard; ``also`` follows the help, ``shown`` opens it."""
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in self.choices.items())
        listed = f"<dl>{rows}</dl>" if rows else ""
        question = (
            f"<summary title='{escape(self.question)}' aria-label='{escape(self.question)}'>{escape(shown)}</summary>"
        )
        helped = f"<p>{escape(self.help + also)}</p>" if self.help else ""
        return f"<details class='term'>{question}{helped}<p>{escape(self.answer)}</p>{listed}</details>"


_OF_LANGUAGE_MODELS = [task.name for task in TASKS if task.head in OF_LANGUAGE_MODELS and task.is_bundled]

TERMS: Mapping[str, Term] = {
    "model": Term(
        "A language model writes; the others read.",
        "Which model?",
        "The demo models come with the page and need no model hub: SmolLM2 is a small LLaMA that answers questions, MiniLM "
        "is a small BERT that finds texts, or, fine-tuned, does one of five tasks: two kinds of labels, pairs of texts, "
        "ratings, and answers in a text. On a "
        f"machine of your own the page also takes models that read ({named(encodes=True)}) or write ({named(encodes=False)}).",
    ),
    "targets": Term(
        "What is taken out, whole.",
        "Neurons, heads, layers?",
        "A feed-forward layer (FFN) has hundreds of neurons, an attention layer a handful of heads. Structured pruning "
        "takes whole ones out, so the matrices really shrink. Each place where units are removed is called a site. Whole "
        "layers go in one run, and the layer before them compensates; a BERT has no place for that. The "
        "criterion and the allocation, which choose units, are not read then.",
    ),
    "ratio": Term(
        "Share of these units that goes.",
        "Share of what?",
        "Of all units of the chosen kind, in the layers that are left. How many parameters that removes, of the blocks and of "
        "the whole model, always stands beside it: embeddings lose rows only with tokens.",
    ),
    "layers": Term(
        "Share of whole layers that goes first.",
        "Why layers first?",
        "Whole layers go in one run, and the layer before them compensates. Then heads or neurons go from the layers that are "
        "left: the ratio is a share of those. What layers cost is not known before it is measured, and a BERT has no place "
        "for the compensation.",
    ),
    "vocabulary": Term(
        "Tokens that stay, such as 8000.",
        "Why fewer tokens?",
        "Every token has a row of the embeddings, which are much of a small model. The most frequent ones of the calibration "
        "text stay, or at home those that a text of your own needs, with special tokens and single characters. Text of these "
        "tokens is read as before; other words fall into smaller pieces or become unknown, and the result says how much of "
        "held-out text that is. Empty keeps all.",
    ),
    "need": Term(
        "70 %, 60 MB, 1.5GB@4096, 95 % of the accuracy or 1.5 x; sets the ratio.",
        "What can I ask for?",
        "A share of all parameters that may stay, a size of the weights, a memory with the keys and values of so many tokens, "
        "a share of the accuracy, or a perplexity beside the dense model's. The first three are counted, and in the simple "
        "layout whole layers of a LLaMA go for them as well, until the slider moves. Accuracy and perplexity are read between "
        "measured runs of the recipe; beyond them the perplexity is what the curves forecast, which is mostly too high.",
    ),
    "criterion": Term(
        "Tells which units matter least.",
        "What is a criterion?",
        "A score for every unit; the lowest go. All but the baselines look at what the units do on the calibration text.",
        {name: criterion.meaning for name, criterion in IMPORTANCE.items()},
    ),
    "allocation": Term(
        "How the ratio is spread over the sites.",
        "Why not the same everywhere?",
        "Some layers hardly notice losing half of their units, others break. An allocation takes more from the first.",
        {
            "uniform": "Every site loses the same share.",
            "global": "One threshold over all scores, standardised within each site (FLAP).",
            "error-curve": "Takes from where the error relative to the residual stream rises least for each parameter.",
            "loss-curve": "Removes where the loss is least sensitive to the error, so its mean error is larger than the "
            "error-curve's and its answers are nearer to the dense model's. Needs a backward pass.",
        },
    ),
    "reconstruction": Term(
        "How the units that stay compensate for those that go.",
        "What is a reconstruction?",
        "The layer behind the removed units is solved anew in closed form, so that its output on the calibration text comes "
        "as near to the dense one as it can. Nothing is trained.",
        {name: repair.meaning for name, repair in REPAIRS.items()},
    ),
    "schedule": Term(
        "Whose activations the repair looks at.",
        "One-shot or sequential?",
        "Which units go is decided by the dense model. One-shot fits every repair to it too, in one pass over the text. "
        "Sequential fits each repair to the model pruned so far, in a second pass: better at high ratios. Corrective also lets "
        "each repair compensate a share of the error of the sites before it, and scales the last norm of a LLaMA down, because "
        "the remaining error makes the model over-confident: mostly better still, for a tenth to a quarter more time. With any "
        "repair but least-squares it is sequential.",
    ),
    "calibration": Term(
        "Text that the repair is fitted on.",
        "What is calibration?",
        "One pass over a little text yields the mean and covariance of what each layer reads: all that scores and repairs "
        "need. Auto takes the text of the model's own task, for a language model three parts of encyclopaedia leads and one "
        "of film reviews; self is what a language model writes of its own. Several texts make a mix, in equal parts unless "
        "a number before a text gives its parts: 2 wiki. Nothing is ever measured on it.",
    ),
    "tokens": Term(
        "How much of it; 0 takes what the model's width asks for.",
        "How much text?",
        "A covariance has as many unknowns as the layer has channels, squared, so wider layers need more text: eight tokens "
        "of one text for each channel are a good start, and sixteen of a mix of texts, 24,576 for 1,536 channels. The less "
        "there is, the more the ridge holds the repair back.",
    ),
    "separator": Term(
        "What stands between two texts.",
        "Why does it matter?",
        "A language model reads windows of equal length, and several texts share one. With a token that it never saw there "
        "its perplexity rises: figures compare only where the separator and the length of the windows are the same.",
        {
            "auto": "By the kind of the text: the token that ended documents in training, a blank line between "
            "paragraphs of a file and between lines of WikiText, as in the literature.",
            "document": "The token that ended a document in training.",
            "newline": "The end of a line.",
            "blank-line": "Two ends of lines.",
            "end": "The tokenizer's end token; a chat model ends its turns with it.",
        },
    ),
    "evaluate": Term(
        "Empty takes the task of the model.",
        "What can be measured?",
        f"Every task has a kind of model that it needs: {', '.join(_OF_LANGUAGE_MODELS)} and the tasks of the harness a "
        "language model, the others the head that they are named for. Perplexity stands on two texts, since a repair is worth "
        "more on text like the calibration text than elsewhere; no default calibrates on the second.",
        {task.name: f"{task.title[:1].upper()}{task.title[1:]}; {METRICS[task.metrics[0]].title}." for task in TASKS},
    ),
    "data": Term(
        "A file or a hub dataset, for the task own.",
        "How do I measure my own texts?",
        "Name a CSV or JSONL file with a column text (or a pair of columns, or question, context and answers) and a column "
        "label; the task own then measures it, beside the tasks that are there. A language model needs only text. For the "
        "tasks of GLUE and SQuAD name a folder with copies of their datasets instead, if the hub is out of reach.",
    ),
    "evaluate_length": Term(
        "0 takes the default of each task.",
        "How long is a text that is measured?",
        "Tokens of a window of perplexity, and the most that is read of a text with a label. Longer windows give a language "
        "model more to go by, so perplexity falls; the literature often takes 2,048. Calibration has a length of its own.",
    ),
    "multiple": Term(
        "64 suits most accelerators; 1 rounds nothing.",
        "Why round?",
        "Matrix products run in tiles, so a layer of 1,000 neurons is often no faster than one of 1,024. What each FFN layer "
        "keeps is rounded to a multiple, and all layers together keep at most what the ratio leaves; what that costs in error "
        "stands below the verdict. Heads are left alone.",
    ),
    "seed": Term(
        "The same seed gives the same result.",
        "What is random here?",
        "Which texts are drawn for calibration, and the scores of the criterion random. On a CPU equal seeds give equal "
        "results, bit for bit.",
    ),
    "edits": Term(
        "One a line, such as layers.3.ffn:ratio=0.2",
        "What can be decided by hand?",
        "SITE:ratio=0.2 prunes one site by its own ratio (0 keeps it whole); SITE:keep=1,4-6 never removes these units; "
        "SITE:remove=0 removes them first. Units count from 0. Clicking a cell of the heatmap offers the same.",
    ),
    "quantize": Term(
        "Measure it with weights of 8 bits, too.",
        "What is int8?",
        "Each weight of the blocks is rounded to one of 256 steps, one scale for each output channel. The dense and the "
        "repaired model are then measured once more, which shows whether the repair survives. A byte a weight instead of "
        "four saves memory; on a CPU it saves no time, since products are still taken in full precision.",
    ),
}

WORDS: Mapping[str, str] = {
    "model": "Many numbers, learned from much text, with which a program reads or writes.",
    "layer": "A model works in steps, one after the other; each step is a layer.",
    "head": "A part of a layer that looks at the other words of the text.",
    "neuron": "A part of a layer that reacts to one pattern.",
    "accuracy": "The share of the answers that are right.",
    "perplexity": "How many next words seem equally likely to the model, on average: fewer is better.",
}
"""Terms that the first view may use, in words of everyday language."""


def word(term: str, shown: str = "", meaning: str = "") -> str:
    """HTML of a term whose question mark opens what it means: :data:`WORDS`, else ``meaning`` without a full stop."""
    words = WORDS.get(term) or f"{capitalised(meaning)}."
    return f"<details class='word'><summary>{escape(shown or term)}</summary><span>{escape(words)}</span></details>"


PICTURE = Term(
    "",
    "What do I see?",
    "A column is a layer, a row one kind of unit in it: each cell is a site, a place where units are removed. The dense "
    "model is the one before pruning. Dark cells lose next to nothing of what the dense model puts out there, bright ones "
    "nearly all. Every strip is the same smaller model under another repair:",
    {name: repair.meaning for name, repair in REPAIRS.items()},
)
"""What stands under the heading of the heatmap."""
