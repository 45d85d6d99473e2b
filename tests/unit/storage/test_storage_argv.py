"""Command lines of storage: qemu-img's, and those that start a pool; and the corpus."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from frontinus.api.errors import FrontinusError, InvalidXML
from frontinus.storage import imaging
from frontinus.storage.definition import parse_pool, parse_volume
from frontinus.storage.pools import kind_of
from frontinus.storage.steps import Image, Run, Step
from frontinus.storage.volume import Volume
from support.corpus import CORPUS, cases

POOL = parse_pool("<pool type='dir'><name>p</name><target><path>/p</path></target></pool>")
LUKS = "<encryption format='luks'><secret type='passphrase' usage='u'/>{}</encryption>"


def volume(target: str = "", rest: str = "", name: str = "v.img") -> Volume:
    place = f"<target><path>/p/{name}</path>{target}</target>"
    return parse_volume(f"<volume><name>{name}</name><capacity unit='KiB'>1024</capacity>{place}{rest}</volume>", POOL)


def words(*images: Image) -> list[str]:
    return [" ".join(image.argv) for image in images]


def test_a_format_and_its_options_are_always_said() -> None:
    made = imaging.create(
        volume("<format type='qcow2'/><compat>1.1</compat><features><lazy_refcounts/></features>"), "/p/v.img"
    )
    assert words(made) == ["create -f qcow2 -o compat=1.1,lazy_refcounts /p/v.img 1024K"]


def test_a_key_is_a_file_and_never_a_word() -> None:
    made = imaging.create(volume("<format type='raw'/>" + LUKS.format("")), "/p/v.img")
    assert words(made) == ["create -f luks --object secret,id=v.img_encrypt0,file={key:v.img_encrypt0} "
                           "-o key-secret=v.img_encrypt0 /p/v.img 1024K"]  # fmt: skip
    assert made.keys == {"v.img_encrypt0": (None, "u")}


def test_luks_in_qcow2_keeps_its_format() -> None:
    made = imaging.create(volume("<format type='qcow2'/>" + LUKS.format("")), "/p/v.img")
    assert "-f qcow2" in words(made)[0]
    assert "encrypt.format=luks,encrypt.key-secret=v.img_encrypt0" in words(made)[0]


@pytest.mark.parametrize(("kind", "stem"), [("raw", ""), ("qcow2", "encrypt.")])
def test_a_key_is_added_before_another_is_erased(kind: str, stem: str) -> None:
    made = volume(f"<format type='{kind}'/>" + LUKS.format(""))
    old, new = imaging.key_of(made), imaging.Key("new", "uuid", None)
    assert old is not None
    added, erased = words(imaging.add_key(made, new, opened_by=old), imaging.erase_key(made, old, opened_by=new))
    assert (
        f"-o {stem}state=active,{stem}new-secret=new,{stem}iter-time=2000 --image-opts" in added
        and f"{stem}key-secret=v.img_encrypt0" in added
    )
    assert f"-o {stem}state=inactive,{stem}old-secret=v.img_encrypt0" in erased and f"{stem}key-secret=new" in erased
    assert "encrypt.format" not in added + erased  # only a new image takes it


def test_names_cannot_become_options() -> None:
    made = imaging.convert(
        volume("<format type='raw'/>" + LUKS.format(""), name="a,b=c"), "/p/a,b=c", volume(), "/p/v.img"
    )
    assert "file.filename=/p/a,,b=c" in words(*made)[1]
    assert "id=a_b_c_encrypt0" in words(*made)[1]


@pytest.mark.parametrize(
    ("target", "rest", "said"),
    [
        ("<format type='raw'/>", "<backingStore><path>/b</path><format type='raw'/></backingStore>", "has none"),
        ("<format type='qcow2'/>", "<backingStore><path>/b</path></backingStore>", "never guessed"),
        (
            "<format type='qcow2'/><compat>0.10</compat><features><lazy_refcounts/></features>",
            "",
            "need format qcow2 and compat",
        ),
        ("<format type='qcow2'/><compat>2</compat>", "", "neither"),
        ("<format type='raw'/><clusterSize>65536</clusterSize>", "", "no clusters"),
    ],
)
def test_what_an_image_cannot_be_is_refused(target: str, rest: str, said: str) -> None:
    with pytest.raises(InvalidXML, match=said):
        imaging.create(volume(target, rest), "/p/v.img")


# --- the corpus


def commands(text: str) -> list[list[str]]:
    return [line.split() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def keyless(argvs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Where a key comes from differs: a file of the expectation's rig, or our pipe."""
    return [[re.sub(r"file=(/path/to/\w+|\{key:[^}]*\})", "file=KEY", word) for word in argv] for argv in argvs]


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_the_commands_of_the_corpus_are_ours() -> None:
    equal, total = 0, 0
    for case in cases("storagevol-argv"):
        total += 1
        equal += keyless([["qemu-img", *image.argv] for image in _images(case)]) == keyless(
            commands(case["expected.args"])
        )
    for case in cases("storagepool-argv"):
        if not case["fail"]:
            total += 1
            equal += started(case["input.xml"]) == commands(case["expected.args"])
    assert total >= 20
    assert equal / total >= 0.9


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_pools_of_the_corpus_that_have_no_command_get_none() -> None:
    """But for Gluster, which we reach by a mount."""
    refused = [not any(argv[0] in ("mount", "vgchange") for argv in started(case["input.xml"]))
               for case in cases("storagepool-argv")
               if case["fail"] and parse_pool(case["input.xml"]).type != "gluster"]  # fmt: skip
    assert sum(refused) / len(refused) >= 0.9


def _images(case: dict[str, str]) -> list[Image]:
    pool = parse_pool(case["pool.xml"])
    made = parse_volume(case["input.xml"], pool, sized="CAPACITY" not in case["parseflags"])
    preallocate: imaging.Preallocation = "metadata" if case["flags"] == "flags" else "none"
    if "input-vol.xml" not in case:
        return [imaging.create(made, made.path, preallocate=preallocate)]
    source = parse_volume(case["input-vol.xml"], parse_pool(case["input-pool.xml"]))
    return imaging.convert(made, made.path, source, source.path, preallocate=preallocate)


def started(xml: str) -> list[list[str]]:
    """The commands of a start on a host where nothing is mounted, up to what would need more of a host."""
    pool = parse_pool(xml)
    found: list[list[str]] = []
    try:
        script = kind_of(pool.type).start(pool)
        step: Step = next(script)
        while True:
            found += [list(step.argv)] if isinstance(step, Run) else []
            step = script.send("" if isinstance(step, Run) else None)
    except (StopIteration, FrontinusError, TypeError):
        return found
