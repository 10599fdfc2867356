"""Questions with one short right answer, for a language model that answers in its own words.

>>> from liar.tasks.prompts import is_right
>>> is_right("What is the capital of France?", "It is Paris."), is_right("What is the capital of France?", "London")
(True, False)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

QUESTIONS: Mapping[str, str] = {
    "What is the capital of France?": "Paris",
    "What is the capital of Italy?": "Rome",
    "What is the capital of Japan?": "Tokyo",
    "What is the capital of Germany?": "Berlin",
    "What is the capital of Spain?": "Madrid",
    "What is the capital of Egypt?": "Cairo",
    "What is the capital of Russia?": "Moscow",
    "What is the capital of England?": "London",
    "How many days are in a week?": "seven|7",
    "How many months are in a year?": "twelve|12",
    "How many legs does a spider have?": "eight|8",
    "How many hours are in a day?": "24|twenty-four",
    "How many continents are there?": "seven|7",
    "What colour is the sky on a clear day?": "blue",
    "What colour is grass?": "green",
    "What colour is a ripe banana?": "yellow",
    "What colour is snow?": "white",
    "What colour is blood?": "red",
    "Who wrote Romeo and Juliet?": "Shakespeare",
    "Who painted the Mona Lisa?": "Leonardo|Vinci",
    "Who discovered penicillin?": "Fleming",
    "Who invented the telephone?": "Bell",
    "Who was the first president of the United States?": "Washington",
    "Who developed the theory of relativity?": "Einstein",
    "What is the largest planet in our solar system?": "Jupiter",
    "Which planet is closest to the sun?": "Mercury",
    "What is the largest ocean?": "Pacific",
    "What is the tallest mountain in the world?": "Everest",
    "What is the longest river in the world?": "Nile|Amazon",
    "What is the largest animal on Earth?": "whale",
    "What do bees make?": "honey",
    "What do cows eat?": "grass|hay",
    "What gas do plants take in from the air?": "carbon dioxide|CO2",
    "What is frozen water called?": "ice",
    "What is the opposite of hot?": "cold",
    "What is the opposite of up?": "down",
    "Which language is spoken in Brazil?": "Portuguese",
    "Which country is famous for its pyramids?": "Egypt",
    "In which country is the Eiffel Tower?": "France",
    "In which city is the Statue of Liberty?": "New York",
}
"""Each question with the words of its right answer, separated by ``|``."""


def is_right(question: str, answer: str) -> bool | None:
    """Whether ``answer`` names the right words; None if the question is none of :data:`QUESTIONS`."""
    words = QUESTIONS.get(question)
    return None if words is None else bool(re.search(rf"\b(?:{words})\b", answer, re.IGNORECASE))
