from urllib.error import URLError

import numpy as np
import pytest

from fastrcnn.data import VOC_CLASSES, read_voc
from fastrcnn.data.voc import download_voc2007
from fastrcnn.errors import DataError

SIZE = "<size><width>40</width><height>30</height><depth>3</depth></size>"
DOG = (
    "<object><name>dog</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin>"
    "<xmax>40</xmax><ymax>30</ymax></bndbox></object>"
)
CAT = (
    "<object><name>cat</name><difficult>1</difficult><part><name>head</name><bndbox><xmin>9</xmin>"
    "<ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part><bndbox><xmax>7.5</xmax>"
    "<xmin>5.25</xmin><ymin>6</ymin><ymax>6</ymax></bndbox></object>"
)


@pytest.fixture
def make(tmp_path):
    """Writes a VOC folder of the given annotations, {id: what <annotation> holds}."""

    def make(**annotations):
        for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for image_id, content in annotations.items():
            path = tmp_path / "Annotations" / f"{image_id}.xml"
            if isinstance(content, str):
                content = f"<annotation>{content}</annotation>".encode()
            path.write_bytes(content)
            (tmp_path / "JPEGImages" / f"{image_id}.jpg").touch()
        (tmp_path / "ImageSets/Main/some.txt").write_text("\n".join(annotations) + "\n")
        return tmp_path

    return make


def test_a_folder_is_read_in_the_order_of_its_split(make):
    root = make(b=SIZE + DOG + CAT, a=SIZE)
    dataset = read_voc(root, "some")
    assert dataset.name == f"{root.name} some"
    assert dataset.classes == VOC_CLASSES
    assert [annotation.image_id for annotation in dataset] == ["b", "a"]
    first, second = dataset
    assert first.path == root / "JPEGImages" / "b.jpg"
    assert (first.width, first.height) == (40, 30)
    assert first.boxes.tolist() == [[0, 1, 40, 30], [4.25, 5, 7.5, 6]]
    assert [dataset.classes[label - 1] for label in first.labels] == ["dog", "cat"]
    assert first.difficult.tolist() == [False, True]
    for annotation, count in ((first, 2), (second, 0)):
        assert annotation.boxes.dtype == np.float32
        assert annotation.boxes.shape == (count, 4)
        assert annotation.labels.dtype == np.int64
        assert annotation.labels.shape == (count,)
        assert annotation.difficult.dtype == bool
        assert annotation.difficult.shape == (count,)


def test_a_slice_is_a_data_set(make):
    dataset = read_voc(make(a=SIZE, b=SIZE, c=SIZE), "some")
    part = dataset[1:]
    assert [annotation.image_id for annotation in part] == ["b", "c"]
    assert part.classes == dataset.classes
    assert len(dataset) == 3
    with pytest.raises(DataError, match="no pictures"):
        dataset[3:]


def test_a_class_split_has_a_second_column(make):
    root = make(a=SIZE, b=SIZE)
    (root / "ImageSets/Main/dog_some.txt").write_text("\ufeffa  1\nb -1\n\n", encoding="utf-8")
    assert [item.image_id for item in read_voc(root, "dog_some")] == ["a", "b"]


def test_classes_of_ones_own_stand_in_classes_txt(make):
    goose = SIZE + DOG.replace("dog", "snow goose")
    root = make(a=goose, b=SIZE)
    with pytest.raises(DataError, match=r"<object\[1\]/name> is 'snow goose'.*classes\.txt"):
        read_voc(root, "some")
    (root / "classes.txt").write_text("duck\nsnow goose\n\n", encoding="utf-8-sig")
    dataset = read_voc(root, "some")
    assert dataset.classes == ("duck", "snow goose") and dataset[0].labels.tolist() == [2]
    assert read_voc(root, "some", classes=("snow goose",))[0].labels.tolist() == [1]


@pytest.mark.parametrize("text", ["", "\n \n", "duck\ngoose\nduck\n"])
def test_a_classes_txt_without_names_or_with_one_twice(make, text):
    root = make(a=SIZE)
    (root / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=r"classes\.txt must have the names"):
        read_voc(root, "some")


def test_difficult_may_be_left_out_and_classes_chosen(make):
    duck = SIZE + DOG.replace("dog", "duck").replace("<difficult>0</difficult>", "")
    dataset = read_voc(make(a=duck), "some", classes=("goose", "duck"))
    assert dataset.classes == ("goose", "duck")
    assert dataset[0].labels.tolist() == [2]
    assert dataset[0].difficult.tolist() == [False]


def test_a_picture_may_have_another_extension(make):
    root = make(a="<filename>pictures/a.png</filename>" + SIZE)
    (root / "JPEGImages/a.jpg").rename(root / "JPEGImages/a.png")
    assert read_voc(root, "some")[0].path == root / "JPEGImages" / "a.png"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (DOG, "<size>"),
        (SIZE.replace("40", "0"), "<size/width>"),
        (SIZE.replace("30", "thirty"), "<size/height>"),
        (SIZE.replace("30", "30.5"), "<size/height>"),
        (SIZE.replace("30", "inf"), "<size/height>"),
        (SIZE.replace("<height>30</height>", ""), "<size/height>"),
        (SIZE + DOG.replace("dog", "duck"), "<object[1]/name>"),
        (SIZE + DOG.replace("<name>dog</name>", ""), "<object[1]/name>"),
        (SIZE + DOG + "<object><name>cat</name></object>", "<object[2]/bndbox>"),
        (SIZE + DOG.replace("<xmax>40</xmax>", ""), "<object[1]/bndbox/xmax>"),
        (SIZE + DOG.replace("<xmax>40", "<xmax>41"), "<object[1]/bndbox/xmax>"),
        (SIZE + DOG.replace("<ymax>30", "<ymax>1"), "<object[1]/bndbox/ymax>"),
        (SIZE + DOG.replace("<xmin>1", "<xmin>0"), "<object[1]/bndbox/xmin>"),
        (SIZE + DOG.replace("<ymin>2", "<ymin>nan"), "<object[1]/bndbox/ymin>"),
        (SIZE + DOG.replace("<ymin>2", "<ymin>31"), "<object[1]/bndbox/ymin>"),
        (SIZE + DOG.replace("<difficult>0", "<difficult>maybe"), "<object[1]/difficult>"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(make, content, field):
    with pytest.raises(DataError) as caught:
        read_voc(make(fine=SIZE + DOG, wrong=content), "some")
    assert "wrong.xml" in str(caught.value)
    assert field in str(caught.value)


BOMB = """<!DOCTYPE bomb [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;">]>
<annotation><object><name>&d;</name></object></annotation>"""
OUTSIDE = (
    """<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]><annotation>&file;</annotation>"""
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<annotation><size>", "XML"),
        (b"", "XML"),
        (b"\xff\xd8\xff", "XML"),
        (b"<?xml version='1.0' encoding='klingon'?><annotation/>", "XML"),
        (b"<?xml version='1.0' encoding='utf-7'?><annotation/>", "XML"),
        (BOMB.encode(), "document type"),
        (BOMB.encode("utf-16"), "document type"),
        (OUTSIDE.encode(), "document type"),
        (b"<!DOCTYPE annotation SYSTEM 'http://localhost/x.dtd'><annotation/>", "document type"),
        (b"<annotation>&undefined;</annotation>", "XML"),
    ],
)
def test_xml_that_is_broken_or_hostile_is_refused(make, content, reason):
    with pytest.raises(DataError, match=rf"wrong\.xml.*{reason}"):
        read_voc(make(wrong=content), "some")


def test_missing_parts_are_named(make):
    root = make(a=SIZE + DOG)
    (root / "ImageSets/Main/more.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"other.*found there: more, some"):
        read_voc(root, "other")
    with pytest.raises(DataError, match=r"b\.xml"):
        read_voc(root, "more")
    (root / "ImageSets/Main/some.txt").write_text("a\na\n")
    with pytest.raises(DataError, match=r"picture a 2 times"):
        read_voc(root, "some")
    (root / "ImageSets/Main/some.txt").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match=r"some\.txt"):
        read_voc(root, "some")
    (root / "JPEGImages/a.jpg").unlink()
    (root / "ImageSets/Main/some.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"a\.jpg"):
        read_voc(root, "some")
    (root / "ImageSets/Main/some.txt").write_text("\n")
    with pytest.raises(DataError, match="no pictures"):
        read_voc(root, "some")
    with pytest.raises(DataError, match="none"):
        read_voc(root / "nowhere", "some")


def test_a_download_without_internet_says_so(tmp_path, monkeypatch):
    def offline(*arguments, **options):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.voc.download_and_extract_archive", offline)
    with pytest.raises(DataError, match=r"VOC2007 trainval could not be downloaded.*not known"):
        download_voc2007(tmp_path)


def test_a_download_is_ready_to_read(tmp_path, monkeypatch, make):
    fetched = []

    def fetch(url, root, filename, md5):
        fetched.append(filename)
        folder = tmp_path / "VOCdevkit" / "VOC2007"
        (folder / "ImageSets/Main").mkdir(parents=True)
        (folder / "ImageSets/Main/test.txt").write_text("")

    monkeypatch.setattr("torchvision.datasets.voc.download_and_extract_archive", fetch)
    folder = download_voc2007(tmp_path, splits=("test",))
    assert fetched == ["VOCtest_06-Nov-2007.tar"]
    assert (folder / "ImageSets/Main/test.txt").is_file()
