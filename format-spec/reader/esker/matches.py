"""What LZ4 and Snappy have in common (chapter 15)."""


def match_length(data: bytes, left: int, right: int, end: int) -> int:
    """|m(left, right, end)|: bytes from `right` on, up to `end`, that equal those from `left` on; right < left or the reverse."""
    length, step, most = 0, 16, end - left
    while step and length < most:
        if length + step <= most and data[left + length : left + length + step] == data[right + length : right + length + step]:
            length += step
            step = min(2 * step, 4096)
        elif step > 1:
            step //= 2
        else:
            break
    return max(length, 0)
