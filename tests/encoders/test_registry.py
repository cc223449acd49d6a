"""Encoders by name: what is listed, what is made, and what a wrong name, option or object is told."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import ImageRecord
from relsim.encoders.base import Encoder
from relsim.encoders.descriptors import DescriptorEncoder
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.registry import available, check_encoder, load_encoder
from relsim.encoders.stream import encode_records
from relsim.errors import CheckpointError, EncoderError
from relsim.fingerprint import Fingerprint

GOLDEN = Path(__file__).parents[1] / "golden"
OWN = ["relational", "descriptors", "descriptors-colour", "descriptors-hog", "fake"]

USERS_MODULE = """
import numpy as np
from relsim.fingerprint import Fingerprint

class Brightness:
    name = "brightness"
    dimension = 2
    def __init__(self, gain=1.0):
        self.gain = gain
        self.fingerprint = Fingerprint.of({"encoder": "brightness", "gain": gain})
    def prepare(self, image):
        return np.asarray(image.convert("L")).mean() / 255 * self.gain
    def cost(self, prepared):
        return 1
    def encode(self, batch):
        rows = np.array([[value, 1.0] for value in batch], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

class Nest:
    maker = Brightness

def broken():
    raise RuntimeError("no weights here")

def nothing():
    return None

number = 3
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    """A module and an installed package's metadata on the path, as a user or another package would have them."""
    folder = tmp_path / "site"
    (folder / "brightness-1.0.dist-info").mkdir(parents=True)
    (folder / "users_encoders.py").write_text(USERS_MODULE)
    (folder / "faulty_encoders.py").write_text("import a_package_that_is_not_there\n")
    (folder / "brightness-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: brightness\nVersion: 1.0\n"
    )
    (folder / "brightness-1.0.dist-info" / "entry_points.txt").write_text(
        "[relsim.encoders]\nbrightness = users_encoders:Brightness\nfake = users_encoders:Brightness\n"
        "gone = users_encoders:no_such_thing\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield folder
    for module in ("users_encoders", "faulty_encoders"):
        sys.modules.pop(module, None)


def offer_too(folder: Path, package: str, value: str) -> None:
    """Another installed package that offers an encoder named brightness."""
    info = folder.parent / "more" / f"{package}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[relsim.encoders]\nbrightness = {value}\n")


def without(member: str) -> object:
    members = {
        name: getattr(FakeEncoder, name) for name in ("name", "dimension", "fingerprint", "prepare", "cost", "encode")
    }
    members.pop(member)
    return type("Partial", (), members)()


class TestNames:
    def test_this_packages_encoders_are_listed_first_each_with_a_line(self):
        infos = available()
        assert [info.name for info in infos][: len(OWN)] == OWN
        assert all(info.description and "\n" not in info.description for info in infos)

    def test_listing_and_descriptors_do_without_torch(self):
        program = (
            "import sys; from relsim.encoders.registry import available, load_encoder; available(); "
            "load_encoder('descriptors'); load_encoder('fake'); print('torch' in sys.modules)"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout == "False\n"

    @pytest.mark.parametrize("name", ["descriptors", "descriptors-colour", "descriptors-hog", "fake"])
    def test_an_encoder_bears_the_name_it_was_loaded_by(self, name):
        encoder = load_encoder(name)
        assert isinstance(encoder, Encoder)
        assert encoder.name == name
        assert encoder.fingerprint.to_dict()["encoder"] == name

    def test_options_reach_the_encoder(self):
        assert (
            load_encoder("descriptors", side=32, grid=2).fingerprint == DescriptorEncoder(side=32, grid=2).fingerprint
        )

    @pytest.mark.parametrize("name", ["dinosaur", "", "a:b:c", "os.path", "descriptors:"])
    def test_an_unknown_name_is_told_the_known_ones(self, name):
        with pytest.raises(EncoderError, match="relational, descriptors, descriptors-colour, descriptors-hog, fake"):
            load_encoder(name)

    @pytest.mark.parametrize(("name", "takes"), [("descriptors", "side, grid"), ("fake", "none")])
    def test_an_option_that_an_encoder_does_not_take_is_told_what_it_takes(self, name, takes):
        with pytest.raises(EncoderError, match=f"'colour'; its options are {takes}"):
            load_encoder(name, colour="red")


class TestRelational:
    def test_without_a_name_it_is_the_embedded_checkpoint(self):
        options = {"device": "cpu", "dtype": "float32"}
        named = load_encoder("relational", checkpoint_dir="relsim-mini", **options)
        assert load_encoder("relational", **options).fingerprint == named.fingerprint

    def test_errors_of_the_checkpoint_pass_through(self, tmp_path):
        with pytest.raises(CheckpointError):
            load_encoder("relational", checkpoint_dir=str(tmp_path), device="cpu")

    def test_it_gives_the_published_vectors(self):
        encoder = load_encoder(
            "relational",
            checkpoint_dir=str(GOLDEN / "relsim"),
            base_model=str(GOLDEN / "base"),
            device="cpu",
            dtype="float32",
            recipe="native",
        )
        files = sorted((GOLDEN / "images").iterdir())[:3]
        outcomes = encode_records([ImageRecord(str(row), str(file)) for row, file in enumerate(files)], encoder)
        expected = np.load(GOLDEN / "expected_embeddings_fp32.npy")
        for outcome in outcomes:
            np.testing.assert_allclose(outcome.vector, expected[int(outcome.record.image_id)], atol=1e-3)


class TestOthers:
    def test_a_users_plain_class_flows_through_the_stream(self, users_module, tmp_path):
        for grey in (0, 102, 255):
            Image.new("L", (10, 10), grey).save(tmp_path / f"{grey}.png")
        records = [ImageRecord(str(grey), str(tmp_path / f"{grey}.png")) for grey in (0, 102, 255)]
        outcomes = encode_records(records, load_encoder("users_encoders:Brightness", gain=2.0), workers=2)
        slopes = {outcome.record.image_id: float(outcome.vector[0] / outcome.vector[1]) for outcome in outcomes}
        assert slopes == pytest.approx({"0": 0, "102": 0.8, "255": 2})

    def test_a_reference_may_lead_into_a_class(self, users_module):
        assert load_encoder("users_encoders:Nest.maker").name == "brightness"

    def test_an_installed_package_offers_an_encoder_by_name(self, users_module):
        assert load_encoder("brightness", gain=3.0).gain == 3
        listed = {info.name: info.description for info in available()}
        assert listed["brightness"] == "users_encoders:Brightness, from the package brightness"

    def test_an_installed_package_cannot_take_over_a_name_of_this_one(self, users_module):
        assert isinstance(load_encoder("fake"), FakeEncoder)
        assert [info.name for info in available()].count("fake") == 1

    def test_two_packages_that_offer_one_name_are_both_named(self, users_module, monkeypatch):
        offer_too(users_module, "rival", "rivals:Brightness")
        monkeypatch.syspath_prepend(users_module.parent / "more")
        with pytest.raises(EncoderError, match=r"several .* rivals:Brightness, users_encoders:Brightness"):
            load_encoder("brightness")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("no_such_module:Thing", "No module named 'no_such_module'.*PYTHONPATH"),
            ("faulty_encoders:Thing", "No module named 'a_package_that_is_not_there'"),
            ("users_encoders:Thing", "has no attribute 'Thing'"),
            ("gone", "has no attribute 'no_such_thing'"),
            ("users_encoders:number", "is int, not a function or class"),
            ("users_encoders:broken", "RuntimeError: no weights here"),
            ("users_encoders:nothing", "NoneType is no encoder: name is missing"),
        ],
    )
    def test_what_is_wrong_with_a_users_encoder_is_said(self, users_module, name, message):
        with pytest.raises(EncoderError, match=message):
            load_encoder(name)


class TestTheProtocol:
    def test_it_is_the_whole_protocol_that_is_checked(self):
        members = [name for name in vars(Encoder) if not name.startswith("_")]
        assert sorted(members) == ["cost", "dimension", "encode", "fingerprint", "name", "prepare"]
        for member in members:
            with pytest.raises(EncoderError, match=rf"Partial is no encoder: {member}(\(\))? is missing"):
                check_encoder(without(member))

    def test_all_missing_members_are_named_at_once(self):
        with pytest.raises(EncoderError, match=r"name is missing.*dimension.*fingerprint.*prepare\(\).*cost.*encode"):
            check_encoder(object())

    @pytest.mark.parametrize(
        ("member", "value", "message"),
        [
            ("name", None, "name is None, not of type str"),
            ("dimension", "4", "dimension is '4', not of type int"),
            ("dimension", True, "dimension is True, not of type int"),
            ("dimension", 0, "dimension is 0, not positive"),
            ("fingerprint", {"encoder": "mine"}, "not of type Fingerprint"),
            ("encode", 1, "encode is not a method"),
        ],
    )
    def test_a_member_of_the_wrong_kind_is_named(self, member, value, message):
        encoder = FakeEncoder()
        setattr(encoder, member, value)
        with pytest.raises(EncoderError, match=message):
            check_encoder(encoder)

    def test_an_encoder_comes_back_as_it_is(self):
        encoder = FakeEncoder()
        assert check_encoder(encoder) is encoder
        assert encoder.fingerprint == Fingerprint.of({"encoder": "fake", "version": 1, "dimension": 4})
