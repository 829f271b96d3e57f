"""A repository on a local path: config, keys, lists, and chunks by id (chapters 01 to 06)."""

import os
import re
import stat
from collections import OrderedDict
from pathlib import Path

from blake3 import blake3

from . import keys, limits
from .errors import Damage, ReaderError, TooNew, WrongSecret
from .pack import OBJECT_KIND, head_of, open_frame, place_frames, read_frame_table
from .records import AUDIT, DOOMED, FENCE, FORGOTTEN, INDEX_SEGMENT, MANIFEST, NOTE, RUN, SESSION_BEAT, SESSION_END, SESSION_OPEN
from .records import SPARSE_RUN, VERIFICATION
from .run import decode_form, decode_run, join_forms
from .sealing import Sealing, open_object
from .wire import newest

HASH, SESSION = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{32}")
BEAT = re.compile("beat-(?!0{8})[0-9]{8}")
HASH_NAMED = {
    "index": INDEX_SEGMENT,
    "manifests": MANIFEST,
    "doomed": DOOMED,
    "forgotten": FORGOTTEN,
    "verified": VERIFICATION,
    "notes": NOTE,
    "audit": AUDIT,
}
PACK_FOLDERS = {"data": 1, "meta": 2}
CONTROL_MAX = limits.CONTROL_PLAIN_MAX + 62
CACHE_BYTES = 64 << 20


class Repository:
    def __init__(self, root: str, secret: keys.Secret | None, warn):
        self.root = Path(root)
        self.warn = warn
        if not self.root.is_dir():
            raise ReaderError(f"{root}: no such folder")
        self.config, self.sealing = self._open(secret)
        self._index: dict[tuple[int, bytes], list] | None = None
        self._lists: tuple | None = None
        self._cache: OrderedDict[tuple[int, bytes], bytes] = OrderedDict()
        self._cached = 0

    # Objects and lists.

    def read(self, path: str, limit: int) -> bytes:
        """All bytes of an object of at most `limit`."""
        with self._file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise Damage(f"{path}: {size} bytes, over the limit of {limit}")
            return file.read()

    def _file(self, path: str):
        try:
            handle = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise Damage(f"{path}: not a regular file")
            return os.fdopen(handle, "rb")
        except OSError as error:
            raise Damage(f"{path}: {error.strerror}") from None

    def names(self, folder: str, pattern: re.Pattern) -> list[str]:
        """Names of this form in a folder; everything else in it is left alone."""
        try:
            return sorted(name for name in os.listdir(self.root / folder) if pattern.fullmatch(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Damage(f"{folder}: {error.strerror}") from None

    def hash_named(self, folder: str, name: str, limit: int = CONTROL_MAX) -> bytes:
        path = f"{folder}/{name}"
        data = self.read(path, limit)
        if blake3(data).hexdigest() != name:
            raise Damage(f"{path}: its bytes are not those it is named by")
        return data

    def control(self, folder: str, name: str):
        """The record in a control object that is named by its hash."""
        path = f"{folder}/{name}"
        data = self.hash_named(folder, name)
        return open_object(self.sealing, HASH_NAMED[folder], "", data, path)

    def placed(self, path: str, kind: int):
        """The record in a control object that is named by its place."""
        return open_object(self.sealing, kind, path, self.read(path, CONTROL_MAX), path)

    def placed_paths(self) -> list[tuple[str, int]]:
        """Every session record and fence, with its kind."""
        paths = [(f"fences/{name}", FENCE) for name in self.names("fences", SESSION)]
        for session in self.names("sessions", SESSION):
            folder = f"sessions/{session}"
            for name in self.names(folder, re.compile(f"open|end|{BEAT.pattern}")):
                kind = {"open": SESSION_OPEN, "end": SESSION_END}.get(name, SESSION_BEAT)
                paths.append((f"{folder}/{name}", kind))
        return paths

    def packs(self) -> list[tuple[int, str]]:
        """Kind and path of every listed pack."""
        found = []
        for folder, kind in PACK_FOLDERS.items():
            for session in self.names(f"packs/{folder}", SESSION):
                where = f"packs/{folder}/{session}"
                found += [(kind, f"{where}/{name}") for name in self.names(where, HASH)]
        return found

    # Opening.

    def _open(self, secret: keys.Secret | None):
        configs, faults = [], []
        for name in ("config", "config.copy"):
            try:
                data = self.read(name, limits.SMALL_OBJECT_MAX)
                configs.append((data, keys.decode_config(data, name)))
            except Damage as error:
                faults.append(error)
        if not configs:
            raise Damage(f"no repository that can be read: {faults[0]}; {faults[1]}")
        for fault in faults:
            self.warn(str(fault))
        if not configs[0][1].encrypted:
            if secret is not None:
                raise ReaderError("the repository says that it is not encrypted, but a passphrase or recovery key was given: refused")
            return configs[0][1], Sealing(None)
        if secret is None:
            raise WrongSecret("the repository is encrypted: give --passphrase-file or --recovery-key-file")
        unwrapped = self._unwrap(secret)
        for data, config in configs:
            if config.encrypted and blake3(data).digest() == unwrapped.config_hash:
                return config, Sealing(unwrapped.master)
        raise Damage("the config is not the one that the key object was made for")

    def _unwrap(self, secret: keys.Secret) -> keys.Unwrapped:
        too_new = None
        for name in self.names("keys", HASH):
            try:
                key = keys.decode_key(self.hash_named("keys", name, limits.SMALL_OBJECT_MAX), f"keys/{name}")
                return keys.unwrap(key, secret, f"keys/{name}")
            except WrongSecret:
                continue
            except TooNew as error:
                too_new = error
            except Damage as error:
                self.warn(str(error))
        raise too_new or WrongSecret("wrong passphrase or recovery key")

    # Chunks.

    def chunk(self, kind: int, chunk_id: bytes) -> bytes:
        """A chunk's content, from whichever place it can be had."""
        key = (kind, chunk_id)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        faults = []
        for frame in self._places(key):
            try:
                return self._keep(key, open_frame(self.sealing, frame, self._slice(frame.pack, frame.offset, frame.stored_len)))
            except Damage as error:
                faults.append(error)
        raise faults[0] if faults else Damage(f"chunk {chunk_id.hex()} is in no pack")

    def run(self, run_id: bytes, what: str):
        """A run, or what its forms hold of it together."""
        try:
            return decode_run(self.chunk(RUN, run_id), what)
        except Damage as error:
            whole = error
        for look in (False, True):
            if look and not self._look():
                break
            forms, faults = [], []
            for frame in self._index.get((SPARSE_RUN, run_id), []):
                try:
                    opened = open_frame(self.sealing, frame, self._slice(frame.pack, frame.offset, frame.stored_len))
                    forms.append(decode_form(opened, run_id, what))
                except Damage as error:
                    faults.append(error)
            if forms and not faults:
                return join_forms(forms, what)
        if not forms:
            raise faults[0] if faults else whole
        for fault in faults:
            self.warn(str(fault))
        return join_forms(forms, what)

    def _places(self, key):
        """The places of a chunk; once they are used up, those of a second look if packs or segments changed meanwhile."""
        if self._index is None:
            self._look()
        yield from self._index.get(key, [])
        if self._look():
            yield from self._index.get(key, [])

    def _look(self) -> bool:
        """Lists packs and segments and indexes them anew if the lists changed."""
        lists = (self.packs(), self.names("index", HASH))
        changed = lists != self._lists
        if changed:
            self._lists, self._index = lists, self._build_index()
        return changed

    def _keep(self, key, content: bytes) -> bytes:
        self._cache[key] = content
        self._cached += len(content)
        while self._cached > CACHE_BYTES:
            self._cached -= len(self._cache.popitem(last=False)[1])
        return content

    def _slice(self, path: str, offset: int, length: int) -> bytes:
        with self._file(path) as file:
            data = os.pread(file.fileno(), length, offset)
        if len(data) != length:
            raise Damage(f"{path}: cut short")
        return data

    def _build_index(self) -> dict:
        """Places of all chunks: from the segments, and for packs that none names from their frame tables."""
        listed = {path: kind for kind, path in self.packs()}
        index, named = {}, set()
        for name in self.names("index", HASH):
            try:
                segment = self.control("index", name)
            except (Damage, TooNew) as error:
                self.warn(str(error))
                continue
            for pack in segment.packs:
                path = f"packs/{'data' if pack.kind == 1 else 'meta'}/{pack.session.hex()}/{pack.id.hex()}"
                # A pack of a newer format counts as named by none: its own header then says so.
                if path in listed and pack.format <= newest(OBJECT_KIND[pack.kind]):
                    named.add(path)
                    head = head_of(pack.kind, pack.format, self.sealing.mode, pack.salt)
                    self._add(index, place_frames(path, head, pack.frames))
        for path, kind in listed.items():
            if path not in named:
                try:
                    self._add(index, self.frames(kind, path))
                except (Damage, TooNew) as error:
                    self.warn(str(error))
        return index

    @staticmethod
    def _add(index: dict, frames: list) -> None:
        for frame in frames:
            # A form is looked for under the run that it stands for.
            index.setdefault((frame.kind, frame.run or frame.chunk), []).append(frame)

    def frames(self, kind: int, path: str) -> list:
        """The frames of a listed pack, from its own table."""
        with self._file(path) as file:
            size = os.fstat(file.fileno()).st_size
        return read_frame_table(self.sealing, kind, path, size, lambda offset, length: self._slice(path, offset, length))

    def hash_of(self, path: str) -> str:
        """BLAKE3 of a pack, read in steps."""
        hasher = blake3()
        with self._file(path) as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        return hasher.hexdigest()
