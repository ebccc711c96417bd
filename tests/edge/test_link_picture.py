"""The picture of interfaces against a model: whoever applies what it tells knows what it knows."""

from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.known_links import names_of, take_links, why_not_live
from actors.edge.link_picture import LinkPicture
from actors.messages.topology import Link, LinksChanged
from actors.values import Nanoseconds

AT = Nanoseconds(5)
X1, X2 = Link("x", 1, True, 1500), Link("x", 2, True, 1500)

Kernel = dict[int, Link]


def create(kernel: Kernel, index: int, name: str, up: bool) -> Link | None:
    if index in kernel or name in {link.name for link in kernel.values()}:
        return None
    kernel[index] = Link(name, index, up, 1500)
    return kernel[index]


def rename(kernel: Kernel, index: int, name: str) -> Link | None:
    if index not in kernel or name in {link.name for link in kernel.values()}:
        return None
    old = kernel[index]
    kernel[index] = Link(name, index, old.up, old.mtu, old.carrier)
    return kernel[index]


def retune(kernel: Kernel, index: int, up: bool, carrier: bool, mtu: int) -> Link | None:
    if index not in kernel:
        return None
    kernel[index] = Link(kernel[index].name, index, up, mtu, carrier)
    return kernel[index]


indexes = st.integers(1, 5)
names = st.sampled_from(["a", "b", "c", "d"])
steps = st.one_of(
    st.tuples(st.just("create"), indexes, names, st.booleans()),
    st.tuples(st.just("rename"), indexes, names),
    st.tuples(
        st.just("retune"), indexes, st.booleans(), st.booleans(), st.sampled_from([1400, 1500])
    ),
    st.tuples(st.just("delete"), indexes),
    st.tuples(st.just("lose"), st.lists(st.tuples(indexes, names), max_size=4)),
    st.tuples(st.just("take")),
)


def play(kernel: Kernel, picture: LinkPicture, step: tuple[object, ...]) -> None:
    """Let something happen in the kernel and tell the picture as the kernel would."""
    match step:
        case ("create", int(index), str(name), bool(up)):
            link = create(kernel, index, name, up)
        case ("rename", int(index), str(name)):
            link = rename(kernel, index, name)
        case ("retune", int(index), bool(up), bool(carrier), int(mtu)):
            link = retune(kernel, index, up, carrier, mtu)
        case ("delete", int(index)):
            kernel.pop(index, None)
            picture.vanished(index)
            return
        case ("lose", list(others)):
            kernel.clear()
            for index, name in others:
                create(kernel, index, name, True)
            picture.replace(kernel)
            return
        case _:
            raise AssertionError(step)
    if link is not None:
        picture.appeared(link)


@given(st.lists(steps, max_size=40))
def test_whoever_is_told_the_differences_knows_what_the_kernel_has(
    happened: list[tuple[object, ...]],
) -> None:
    kernel: Kernel = {}
    picture = LinkPicture()
    links: dict[str, Link] = {}
    known: dict[int, str] = {}
    told: list[LinksChanged] = []
    for step in [*happened, ("take",)]:
        if step[0] != "take":
            play(kernel, picture, step)
            continue
        before = dict(links)
        changed = picture.take(AT)
        if changed is not None:
            take_links(links, known, changed)
            assert links != before or changed.whole
            told.append(changed)
        assert links == {link.name: link for link in kernel.values()}
        assert known == names_of(links)
        assert picture.take(AT) is None
    assert [changed.whole for changed in told] == [True] + [False] * (len(told) - 1)


def test_what_came_and_went_in_between_is_not_told() -> None:
    picture = LinkPicture()
    assert picture.take(AT) == LinksChanged(AT, (), whole=True)
    picture.appeared(X1)
    picture.vanished(1)
    assert picture.take(AT) is None


def test_interface_made_again_under_its_name_is_told_as_another() -> None:
    picture = LinkPicture()
    picture.appeared(X1)
    picture.take(AT)
    picture.vanished(1)
    picture.appeared(X2)
    assert picture.take(AT) == LinksChanged(AT, (X2,), (1,))


def test_interface_is_live_when_it_is_up_and_has_carrier() -> None:
    assert why_not_live(None) == "missing"
    assert why_not_live(Link("x", 1, False, 1500, False)) == "down"
    assert why_not_live(Link("x", 1, True, 1500, False)) == "no carrier"
    assert why_not_live(X1) == ""
