"""KnownLinks: the host's interfaces by name, kept up to date by differences. Pure."""

from actors.messages.topology import Link, LinksChanged


def names_of(links: dict[str, Link]) -> dict[int, str]:
    """Return index -> name, which `take_links` keeps in step with `links`."""
    return {link.index: name for name, link in links.items()}


def take_links(
    links: dict[str, Link], names: dict[int, str], changed: LinksChanged
) -> tuple[str, ...] | None:
    """Bring `links` and `names` up to date. Names may pass from one interface to another.

    Return the names that are concerned, None if all are.
    """
    if changed.whole:
        links.clear()
        names.clear()
    indexes = (*changed.removed, *(link.index for link in changed.changed))
    concerned = [names[index] for index in indexes if index in names]
    concerned += [link.name for link in changed.changed]
    for index in indexes:
        name = names.pop(index, None)
        if name is not None and links[name].index == index:
            del links[name]
    for link in changed.changed:
        other = links.get(link.name)
        if other is not None:
            del names[other.index]
        links[link.name] = link
        names[link.index] = link.name
    return None if changed.whole else tuple(dict.fromkeys(concerned))


def why_not_live(link: Link | None) -> str:
    """Say why nothing can be reached by an interface, "" if it can."""
    if link is None:
        return "missing"
    if not link.up:
        return "down"
    return "" if link.carrier else "no carrier"
