"""Personas: the people of the tour, with names and things to say in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = {
    "en": ("Ann", "Bob", "Carol", "Dave", "Eve", "Frank", "Grace", "Heidi", "Ivan", "Judy"),
    "zh": ("安安", "博文", "楚楚", "大伟", "恩慧", "凡凡", "国强", "慧敏", "一鸣", "佳怡"),
}
_LINES = {
    "en": (
        "Good morning, everyone.",
        "I have the figures for the workshop.",
        "Can we move the review to Thursday?",
        "Fine with me.",
        "I will bring the projector.",
        "See you there.",
        "The train is late, I write from the phone.",
        "Who takes the notes?",
    ),
    "zh": (
        "大家早上好。",
        "研讨会的数据我准备好了。",
        "评审可以改到周四吗？",
        "我没问题。",
        "投影仪我来带。",
        "到时候见。",
        "火车晚点了，我用手机写。",
        "谁来做记录？",
    ),
}


@dataclass(frozen=True)
class Persona:
    """A person of the tour."""

    name: str
    lines: tuple[str, ...]

    def line(self, number: int) -> str:
        """What this person says as number 0, 1, 2 and so on."""
        return self.lines[number % len(self.lines)]


def personas(count: int, language: str) -> list[Persona]:
    """`count` people with different names, each beginning at another line."""
    names, lines = _NAMES[language], _LINES[language]
    people = []
    for index in range(count):
        turn = index // len(names)
        name = names[index % len(names)] + (f" {turn + 1}" if turn else "")
        start = index % len(lines)
        people.append(Persona(name, lines[start:] + lines[:start]))
    return people
