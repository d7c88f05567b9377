"""One OpenSSL in the process: the system's.

pyarrow's libparquet exports all of the OpenSSL that it was built with. Where the loader finds that
one first, our SHA-256 and libcurl's TLS run in a mixture of two versions, and an update of the
system's OpenSSL mends nothing. ThreadSanitizer found it, as a race in a function that the system's
OpenSSL does not have.
"""

import re
import subprocess

import pytest
from harness import sanitizers
from harness.binary import clean_environment

BINDING = re.compile(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(\w+)'")


def bindings(binary, **environment):
    shown = subprocess.run([str(binary), "version"], capture_output=True, text=True, timeout=60,
                           env=clean_environment(LD_DEBUG="bindings", LD_BIND_NOW="1",
                                                 **environment))
    assert shown.returncode == 0
    return BINDING.findall(shown.stderr)


def mixed(found):
    return [b for b in found if re.search(r"/lib(ssl|crypto|curl|ssh2)\.so", b[0])
            and "libparquet" in b[1]]


@pytest.mark.skipif(bool(sanitizers.KIND), reason="as linked for release")
def test_nothing_of_openssl_is_taken_from_libparquet(binary):
    found = bindings(binary)
    ours = [b for b in found if b[2] in ("EVP_sha256", "HMAC", "EVP_Digest")
            and b[0] == str(binary)]
    assert ours and all("libcrypto" in b[1] for b in ours), ours
    assert not mixed(found), f"{len(mixed(found))} symbols, among them {mixed(found)[:3]}"
    parquet = [b[1] for b in found if "pyarrow/libparquet" in b[1]]
    if parquet:  # with it in front this test must see the mixture
        assert len(mixed(bindings(binary, LD_PRELOAD=parquet[0]))) > 100
