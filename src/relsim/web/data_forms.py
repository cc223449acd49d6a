"""What the routes of `relsim.web.data_api` take and give."""

from __future__ import annotations

from pydantic import BaseModel, Field

from relsim.data.curation.corrections import LONGEST_CAPTION, LONGEST_NAME

MOST_ROWS = 500
LARGEST = 2**31


class Listed(BaseModel):
    """A list of images, by its name."""

    name: str
    rows: int
    kind: str


class Summary(BaseModel):
    """What a list holds. `named` are captions that are not anonymous; `longest` counts words; `people` corrected it."""

    name: str
    rows: int
    pictures: int
    captions: int
    named: int
    corrected: int
    groups: int
    largest_group: int
    longest: int
    statuses: dict[str, int]
    findings: dict[str, int]
    people: list[str]


class Found(BaseModel):
    """What makes a caption not anonymous: its place in signs of Unicode, its kind, and the word."""

    start: int
    end: int
    kind: str
    word: str


class Row(BaseModel):
    """One row. `listed` is its caption before corrections, `link` a web address that may be opened."""

    row: int
    id: str
    caption: str | None
    listed: str | None
    anonymous: bool | None
    findings: list[Found]
    link: str | None
    group: str | None
    group_size: int | None
    status: str
    reason: str | None
    width: int | None
    height: int | None
    picture: bool
    changes: int


class Wanted(BaseModel, extra="forbid"):
    """Which rows are asked for: those that pass every filter that is given, from the `start`-th on."""

    start: int = Field(0, ge=0, le=LARGEST)
    count: int = Field(100, ge=1, le=MOST_ROWS)
    text: str | None = Field(None, max_length=500, description="Words that the caption holds, whatever the case.")
    status: str | None = Field(None, max_length=40, description="Of the image; listed: nobody has tried to get it.")
    anonymous: bool | None = Field(None, description="What the linter says of the caption.")
    finding: str | None = Field(None, max_length=40, description="A kind of finding of the linter.")
    captioned: bool | None = Field(None, description="Whether there is a caption.")
    corrected: bool | None = Field(None, description="Whether somebody has corrected the caption.")
    group: str | None = Field(None, max_length=4_096, description="A group by its number or name.")
    smallest: int | None = Field(None, ge=0, le=LARGEST, description="Rows that the group has at least.")
    largest: int | None = Field(None, ge=0, le=LARGEST, description="Rows that the group has at most.")
    shortest: int | None = Field(None, ge=0, le=LARGEST, description="Words that the caption has at least.")
    longest: int | None = Field(None, ge=0, le=LARGEST, description="Words that the caption has at most.")


class Rows(BaseModel):
    """A part of the rows that pass, in the order of the list, and how many pass in all."""

    total: int
    start: int
    rows: list[Row]


class Checked(BaseModel):
    """What the linter says of a caption."""

    anonymous: bool
    findings: list[Found]


class Changed(BaseModel):
    """One change of a caption: what was there, what took its place, who did it and when."""

    old: str | None
    new: str | None
    who: str
    when: str
    undo: bool


class Correction(BaseModel):
    """A caption to put in the place of the one that was seen, `was`, in the name of a person."""

    row: int = Field(ge=0)
    caption: str = Field(max_length=LONGEST_CAPTION)
    was: str | None
    who: str = Field(min_length=1, max_length=LONGEST_NAME)


class TakeBack(BaseModel):
    """A row whose last change is taken back, in the name of a person."""

    row: int = Field(ge=0)
    who: str = Field(min_length=1, max_length=LONGEST_NAME)
