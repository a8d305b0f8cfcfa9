"""Verifies an export of Backstop's audit log with nothing but Python's standard library.

Written from the specifications, not from the gateway's code: RFC 6962 (section 2.1: the tree, its proofs), RFC 8032 (section 5.1:
Ed25519), C2SP's signed-note, tlog-checkpoint and tlog-proof, and docs/audit.md for the export's own lines. Slow and plain on purpose.

    verify_export.py EXPORT PUBLIC_KEY [--checkpoint FILE]... [--inclusion FILE]... [--consistency FILE]...

EXPORT is what `backstop audit export` wrote, PUBLIC_KEY what `backstop audit key` printed, or a file that holds it. A checkpoint is one that was published
before; proofs are what `backstop audit prove` printed. Exit code: 0 all of it holds, 1 it does not, and standard output says what.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys

# --- Ed25519, RFC 8032, section 5.1 ---------------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - x2) % P != 0 or (x == 0 and sign == 1):
        return None
    return P - x if x & 1 != sign else x


def decode_point(encoded):
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    """Extended homogeneous coordinates, section 5.1.4."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return (i * j % P, k * m % P, j * k % P, i * m % P)


def times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_verifies(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    key, commitment = decode_point(public), decode_point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return same(times(scalar, BASE), add(commitment, times(challenge, key)))


# --- The tree, RFC 6962, section 2.1 --------------------------------------------------------------------------------------------


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(n):
    """The largest power of two that is smaller than n."""
    return 1 << ((n - 1).bit_length() - 1)


def tree_hash(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node_hash(tree_hash(leaves[:k]), tree_hash(leaves[k:]))


def root_of_inclusion(leaf, index, size, path):
    """The root that an audit path (2.1.1) leads to; None when it has not the right length."""
    if size == 1:
        return leaf if not path else None
    if not path:
        return None
    k = split(size)
    if index < k:
        left = root_of_inclusion(leaf, index, k, path[:-1])
        return None if left is None else node_hash(left, path[-1])
    right = root_of_inclusion(leaf, index - k, size - k, path[:-1])
    return None if right is None else node_hash(path[-1], right)


def roots_of_consistency(old, size, proof, old_root, is_whole=True):
    """Both roots that a consistency proof (2.1.2) leads to; None when it has not the right length."""
    if old == size:
        if is_whole:
            return (old_root, old_root) if not proof else None
        return (proof[0], proof[0]) if len(proof) == 1 else None
    if not proof:
        return None
    k = split(size)
    if old <= k:
        roots = roots_of_consistency(old, k, proof[:-1], old_root, is_whole)
        return None if roots is None else (roots[0], node_hash(roots[1], proof[-1]))
    roots = roots_of_consistency(old - k, size - k, proof[:-1], old_root, False)
    return None if roots is None else (node_hash(proof[-1], roots[0]), node_hash(proof[-1], roots[1]))


# --- Notes and checkpoints, c2sp.org/signed-note and c2sp.org/tlog-checkpoint ----------------------------------------------------


class Wrong(Exception):
    """Something does not hold, in words."""


def decode(text, what):
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Wrong(f"{what} is not base64") from None


class PublicKey:
    def __init__(self, text):
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise Wrong("the public key is not NAME+HASH+KEY")
        self.name, self.key_id = parts[0], parts[1]
        encoded = decode(parts[2], "the public key")
        expected = hashlib.sha256(self.name.encode() + b"\n" + encoded).digest()[:4]
        if encoded[:1] != b"\x01" or len(encoded) != 33 or self.key_id != expected.hex():
            raise Wrong("the public key is not one of Ed25519, or its hash is wrong")
        self.bytes, self.text = encoded[1:], text.strip()


def read_checkpoint(note, key, what):
    """(size, root) of a note that the key signed."""
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise Wrong(f"{what} is not a signed note")
    text += "\n"
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != key.name:
        raise Wrong(f"{what} is of another log, or no checkpoint")
    held = False
    for line in signatures[:-1].split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014":
            raise Wrong(f"{what} has a line that is no signature")
        encoded = decode(words[2], f"a signature of {what}")
        if words[1] == key.name and encoded[:4].hex() == key.key_id:
            if not ed25519_verifies(key.bytes, text.encode(), encoded[4:]):
                raise Wrong(f"{what}: the signature does not hold")
            held = True
    if not held:
        raise Wrong(f"{what} is not signed with this key")
    if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Wrong(f"{what} has no size")
    root = decode(lines[2], f"the root of {what}")
    if len(root) != 32:
        raise Wrong(f"the root of {what} is not a hash")
    return int(lines[1]), root


# --- The export, docs/audit.md ----------------------------------------------------------------------------------------------------


def check_personal(entry, values, seq):
    for one in values:
        committed = entry["personal"].get(one["field"])
        opened = hmac.new(bytes.fromhex(one["salt"]), one["value"].encode(), hashlib.sha256).hexdigest()
        if one["commitment"] != committed or committed != "hmac-sha256:" + opened:
            raise Wrong(f"entry {seq}: the value of {one['field']} is not what the entry commits to")


def read_export(path, key):
    """The leaf hashes of all entries."""
    with open(path, encoding="utf-8", newline="\n") as file:
        lines = [json.loads(line) for line in file]
    if len(lines) < 2 or lines[0].get("format") != "backstop-audit-export" or lines[0].get("version") != 1:
        raise Wrong("this is not an export of an audit log")
    header, entries, last = lines[0], lines[1:-1], lines[-1]
    if header["public_key"] != key.text:
        raise Wrong("the export names another key")
    if "checkpoint" not in last:
        raise Wrong("the export has no checkpoint: it was cut")
    leaves, ids = [], set()
    if set(header) != {"format", "version", "public_key", "size"} or set(last) != {"checkpoint"}:
        raise Wrong("the first or the last line has other members than an export's")
    for seq, line in enumerate(entries):
        if type(line.get("seq")) is not int or line["seq"] != seq:
            raise Wrong(f"entry {seq}: it is not here, {line.get('seq')} comes in its place")
        if not {"seq", "leaf", "bytes"} <= set(line) <= {"seq", "leaf", "bytes", "personal"}:
            raise Wrong(f"entry {seq}: its line has other members than an export's")
        data = line["bytes"].encode()
        leaf = leaf_hash(data)
        if leaf != bytes.fromhex(line["leaf"]):
            raise Wrong(f"entry {seq}: its bytes are not those that were logged")
        entry = json.loads(line["bytes"])
        if entry["seq"] != seq:
            raise Wrong(f"entry {seq}: its bytes say that it is {entry['seq']}")
        if entry["id"] in ids:
            raise Wrong(f"entry {seq}: its id was there before")
        ids.add(entry["id"])
        check_personal(entry, line.get("personal", []), seq)
        leaves.append(leaf)
    size, root = read_checkpoint(last["checkpoint"], key, "the export's checkpoint")
    if not size == header["size"] == len(leaves):
        raise Wrong(f"entry {min(size, len(leaves))}: {len(leaves)} entries are here and {size} were signed")
    if tree_hash(leaves) != root:
        raise Wrong("the export's checkpoint signs another tree")
    return leaves


def check_older(path, leaves, key):
    with open(path, encoding="utf-8", newline="\n") as file:
        size, root = read_checkpoint(file.read(), key, path)
    if size > len(leaves):
        raise Wrong(f"entry {len(leaves)}: {path} was signed for {size} entries, and {size - len(leaves)} are gone")
    if tree_hash(leaves[:size]) != root:
        raise Wrong(f"{path} signs another tree: one of the first {size} entries was rewritten, or the log forked")


def hashes(lines, what):
    return [decode(line, f"a hash of {what}") for line in lines]


def check_inclusion(path, leaves, key):
    with open(path, encoding="utf-8", newline="\n") as file:
        head, _, note = file.read().partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("index "):
        raise Wrong(f"{path} is not a proof of inclusion")
    index, (size, root) = int(lines[1][6:]), read_checkpoint(note, key, path)
    if index >= min(size, len(leaves)):
        raise Wrong(f"{path} proves entry {index}, which is not here")
    if root_of_inclusion(leaves[index], index, size, hashes(lines[2:], path)) != root:
        raise Wrong(f"{path} does not prove that entry {index} is in the log")


def check_consistency(path, leaves, key):
    with open(path, encoding="utf-8", newline="\n") as file:
        head, _, note = file.read().partition("\n\n")
    lines = head.split("\n")
    if not lines[0].startswith("old "):
        raise Wrong(f"{path} is not a proof of consistency")
    old, (size, root) = int(lines[0][4:]), read_checkpoint(note, key, path)
    proof = [] if lines[1:] == [""] else hashes(lines[1:], path)
    old_root = tree_hash(leaves[:old])
    if not 1 <= old <= size or roots_of_consistency(old, size, proof, old_root) != (old_root, root):
        raise Wrong(f"{path} does not prove that the log extends its first {old} entries")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export")
    parser.add_argument("public_key")
    for name in ("checkpoint", "inclusion", "consistency"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="FILE")
    args = parser.parse_args()
    try:
        text = args.public_key
        if os.path.isfile(text):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        key = PublicKey(text)
        leaves = read_export(args.export, key)
        for checks, check in (
            (args.checkpoint, check_older),
            (args.inclusion, check_inclusion),
            (args.consistency, check_consistency),
        ):
            for path in checks:
                check(path, leaves, key)
    except Wrong as wrong:
        print(f"WRONG {wrong}")
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        print(f"WRONG the export or a proof cannot be read: {error!r}")
        return 1
    print(f"whole: {len(leaves)} entries, root {base64.b64encode(tree_hash(leaves)).decode()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
