from relsim.evaluation.retrieval_tables import EMBEDDED_FROM, captions_read
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable


def test_captions_that_were_given_and_written_are_told_apart(tmp_path, unit, named):
    def made(name, fields, **facts):
        with VectorTable.create(tmp_path / name, Fingerprint.of({"encoder": name, **facts}), 4) as table:
            for number, extra in enumerate(fields):
                table.append(str(number), named([f"{name}{number}"], **extra), unit(1, 4))
        return VectorTable.open(tmp_path / name)

    known = [{EMBEDDED_FROM: "caption:ab"}, {EMBEDDED_FROM: "sha256:cd"}, {EMBEDDED_FROM: "caption:ef"}]
    assert captions_read(made("captions", known, caption_field="caption")) == (2, 1)
    assert captions_read(made("others", known)) is None
    assert captions_read(made("older", [*known, {}], caption_field="caption")) is None
