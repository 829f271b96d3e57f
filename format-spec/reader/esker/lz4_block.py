"""LZ4 blocks as LZ4's fast compressor writes them (chapter 15)."""

from .matches import match_length

MASK_32, MASK_64 = 2**32 - 1, 2**64 - 1
SMALL = 65_547
DISTANCE_MAX = 65_535
UNUSED = -(1 << 32)


def compress(block: bytes, acceleration: int, is_continue: bool, dictionary: bytes = b"") -> bytes:
    """The LZ4 block. A dictionary is for `is_continue` alone."""
    kept = dictionary[-65_536:] if len(dictionary) >= 8 else b""
    data, start, end = kept + block, len(kept), len(kept) + len(block)
    of_four = not is_continue and len(block) < SMALL
    table = [UNUSED if dictionary else 0] * (8192 if of_four else 4096)

    def place(at: int) -> int:
        if of_four:
            return (int.from_bytes(data[at : at + 4], "little") * 2_654_435_761 & MASK_32) >> 19
        return ((int.from_bytes(data[at : at + 5], "little") << 24) * 889_523_592_379 & MASK_64) >> 52

    def swap(at: int) -> int:
        slot = place(at)
        found, table[slot] = table[slot], at
        return found

    def fits(candidate: int, at: int) -> bool:
        return at - candidate <= DISTANCE_MAX and data[candidate : candidate + 4] == data[at : at + 4]

    out, anchor = bytearray(), start
    if len(block) >= 13:
        for at in range(0, start - 7, 3):
            table[place(at)] = at
        swap(start)
        at = start + 1
        while found := _search(at, end, acceleration, swap, fits):
            at, candidate = found
            low = 0 if candidate < start else start
            while at > anchor and candidate > low and data[at - 1] == data[candidate - 1]:
                at, candidate = at - 1, candidate - 1
            literals = data[anchor:at]
            while True:
                length = match_length(data, at + 4, candidate + 4, end - 5)
                _token(out, literals, length, at - candidate)
                anchor = at + 4 + length
                if anchor > end - 12:
                    break
                swap(anchor - 2)
                at = anchor
                candidate = swap(at)
                literals = b""
                if not fits(candidate, at):
                    break
            if anchor > end - 12:
                break
            at += 1
    _token(out, data[anchor:], 0, None)
    return bytes(out)


def _search(at: int, end: int, acceleration: int, swap, fits):
    """Step 3: the next position with a candidate that fits, and that; None at the end."""
    step, misses = 1, 64 * acceleration
    while True:
        following = at + step
        step, misses = misses >> 6, misses + 1
        if following > end - 11:
            return None
        candidate = swap(at)
        if fits(candidate, at):
            return at, candidate
        at = following


def _token(out: bytearray, literals: bytes, length: int, distance: int | None) -> None:
    out.append(min(len(literals), 15) << 4 | min(length, 15))
    if len(literals) >= 15:
        _rest(out, len(literals) - 15)
    out += literals
    if distance is not None:
        out += distance.to_bytes(2, "little")
        if length >= 15:
            _rest(out, length - 15)


def _rest(out: bytearray, rest: int) -> None:
    out += b"\xff" * (rest // 255)
    out.append(rest % 255)
