"""`relsim score`: the golden scores, and one clear line for whatever cannot be scored."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def picture(noise):
    return noise(80, 56)


@pytest.fixture
def good(tmp_path, picture):
    path = tmp_path / "good.png"
    picture.save(path)
    return path


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb():
    """A PNG of some 100 bytes that claims to hold 60,000 x 60,000 pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def write(path, content):
    path.write_bytes(content)


BAD = {
    "truncated": (lambda path, good: write(path, good.read_bytes()[:2000]), "ends before its data does"),
    "empty": (lambda path, good: write(path, b""), "the file is empty"),
    "bomb": (lambda path, good: write(path, bomb()), "60,000 x 60,000 pixels, more than the limit"),
    "text": (lambda path, good: write(path, b"a letter, not a picture"), "not an image in a known format"),
    "broken link": (lambda path, good: path.symlink_to("nowhere"), "a link that leads nowhere"),
    "link to itself": (lambda path, good: path.symlink_to(path.name), "a link that leads back to itself"),
    "damaged": (lambda path, good: write(path, good.read_bytes()[:60] + b"\xff" * 9000), "PNG"),
    "206:1": (lambda path, good: Image.new("RGB", (4120, 20)).save(path), "aspect ratio 206:1 is beyond 200:1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_one_line_that_names_it(kind, tmp_path, good, refused, model_flags):
    make, reason = BAD[kind]
    bad = tmp_path / "bad.png"
    make(bad, good)
    line = refused("score", good, bad, *model_flags)
    assert line.startswith(f"{bad}: ")
    assert reason in line


def test_a_missing_path_is_told_from_a_bad_image(good, tmp_path, refused, model_flags):
    line = refused("score", good, tmp_path / "none.png", *model_flags)
    assert line.startswith(f"{tmp_path}/none.png: no such file or folder; name an image file")


def test_a_folder_without_images_is_refused(good, tmp_path, refused, model_flags):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("nothing to see")
    assert f"no images in or below {tmp_path}/folder" in refused("score", good, tmp_path / "folder", *model_flags)


def test_one_image_is_too_few(good, refused, model_flags):
    assert "at least two images; 1 given" in refused("score", good, *model_flags)


def test_an_image_named_twice_is_scored_against_itself(verb, good, model_flags):
    """As the published call does: `model(a, a)` is 1."""
    assert verb("score", good, good, *model_flags).stdout == "1.0000\n"


def test_without_a_name_it_is_the_embedded_checkpoint(good, tmp_path, picture, document):
    picture.save(tmp_path / "other.png")
    flags = ("--device", "cpu", "--dtype", "float32")
    unnamed = document("score", good, tmp_path / "other.png", *flags)
    assert unnamed == document("score", good, tmp_path / "other.png", *flags, "--checkpoint", "relsim-mini")


def test_an_embedded_checkpoint_leaves_the_environments_base_alone(good, verb, monkeypatch, golden):
    monkeypatch.setenv("RELSIM_BASE_MODEL", str(golden / "base"))
    assert verb("score", good, good, "--device", "cpu").exit_code == 0


def animated(picture, path):
    picture.save(path, format="GIF", save_all=True, append_images=[picture.rotate(90)], duration=50)


def sixteen_bit(picture, path):
    values = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(values).save(path, format="PNG")


GOOD = {
    "animated": animated,
    "16-bit": sixteen_bit,
    "cmyk": lambda picture, path: picture.convert("CMYK").save(path, format="JPEG"),
    "palette": lambda picture, path: picture.quantize(32).save(path, format="PNG"),
    "alpha": lambda picture, path: picture.convert("RGBA").save(path, format="PNG"),
    "1 pixel": lambda picture, path: Image.new("RGB", (1, 1), "red").save(path, format="PNG"),
    "40:1": lambda picture, path: picture.resize((800, 20)).save(path, format="PNG"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_unusual_images_are_scored(kind, picture, good, tmp_path, verb, model_flags):
    GOOD[kind](picture, tmp_path / "unusual.img")
    result = verb("score", good, tmp_path / "unusual.img", *model_flags)
    assert (result.exit_code, result.stderr) == (0, "")
    assert -1 <= float(result.stdout) <= 1


def test_a_rotated_file_scores_1_with_its_upright_version(picture, good, tmp_path, verb, model_flags):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "rotated.png", exif=exif)
    assert verb("score", good, tmp_path / "rotated.png", *model_flags).stdout == "1.0000\n"


def test_two_images_give_the_golden_score(verb, golden_paths, expected, model_flags):
    result = verb("score", *golden_paths[:2], *model_flags)
    assert (result.exit_code, result.stderr) == (0, "")
    assert float(result.stdout) == pytest.approx(expected["scores_first4"][0][1], abs=1e-4)


def test_more_images_give_the_golden_matrix(verb, golden_paths, expected, model_flags):
    result = verb("score", *golden_paths[:4], *model_flags)
    assert (result.exit_code, result.stderr) == (0, "")
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["1", "2", "3", "4"]
    for number, (line, path) in enumerate(zip(lines, golden_paths[:4], strict=True)):
        label, *scores, name = line.split()
        assert (label, name) == (str(number + 1), path.name)
        assert list(map(float, scores)) == pytest.approx(expected["scores_first4"][number], abs=6e-4)


def test_json_holds_the_golden_matrix_and_its_origin(document, golden_paths, expected, model_flags):
    found = document("score", *golden_paths[:4], *model_flags)
    assert set(found) == {"schema", "images", "scores", "percentiles", "fingerprint"}
    assert found["schema"] == "relsim.scores/1"
    assert found["images"] == [{"image_id": path.name, "source": str(path)} for path in golden_paths[:4]]
    assert np.allclose(found["scores"], expected["scores_first4"], atol=1e-4)
    assert found["percentiles"] is None
    assert found["fingerprint"]["recipe"] == "native"


def test_a_calibrated_checkpoint_tells_the_percentile(verb, document, golden, golden_paths, tmp_path, expected):
    from dataclasses import replace

    from relsim.models.checkpoint import read_checkpoint
    from relsim.models.checkpoint_writing import write_checkpoint

    null = {"scores": [0.0, 1.0], "percentiles": [0.0, 100.0]}
    write_checkpoint(
        tmp_path / "own", replace(read_checkpoint(golden / "relsim"), null_distribution=null), golden / "relsim"
    )
    flags = ["-c", tmp_path / "own", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"]
    score = expected["scores_first4"][0][1]
    result = verb("score", *golden_paths[:2], *flags)
    assert result.stdout == f"{score:.4f}  (above {100 * score:.1f} % of unrelated pairs)\n"
    assert document("score", *golden_paths[:2], *flags)["percentiles"][0][1] == pytest.approx(100 * score, abs=0.01)


def test_the_environment_may_name_the_checkpoint(verb, golden, golden_paths, expected, monkeypatch):
    monkeypatch.setenv("RELSIM_CHECKPOINT", str(golden / "relsim"))
    monkeypatch.setenv("RELSIM_BASE_MODEL", str(golden / "base"))
    result = verb("score", *golden_paths[:2], "--device", "cpu", "--dtype", "float32")
    assert float(result.stdout) == pytest.approx(expected["scores_first4"][0][1], abs=1e-4)


def test_the_environment_may_name_the_precision(verb, refused, golden_paths, model_flags, monkeypatch):
    """For whatever names none itself."""
    monkeypatch.setenv("RELSIM_DTYPE", "float64")
    assert refused("score", *golden_paths[:2]).startswith("unknown precision 'float64'")
    assert verb("score", *golden_paths[:2], *model_flags).exit_code == 0


@pytest.mark.parametrize("wrong", [["--no-such-option"], [], ["--dtype"]])
def test_wrong_usage_exits_2(wrong, verb):
    result = verb("score", *wrong)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--recipe", "tiny", "native, crop<side> and squash<side>"),
        ("--dtype", "int4", "float32"),
        ("--device", "tpu", "'tpu'"),
        ("--base-model", "/none", "/none"),
    ],
)
def test_a_wrong_model_option_tells_what_is_known(option, value, told, refused, golden_paths, model_flags):
    assert told in refused("score", *golden_paths[:2], *model_flags, option, value)


def test_a_file_and_a_link_to_it_are_two_images(verb, good, tmp_path, model_flags):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert verb("score", good, tmp_path / "link" / good.name, *model_flags).stdout == "1.0000\n"
