#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Signs a module, so that a kernel loads it that loads signed ones only.
#
#   SIGN_KEY=KEY SIGN_CERT=CERTIFICATE sign-module.sh HEADERS MODULE

set -euo pipefail
. "$(dirname "$0")/kernel-checks.sh"

[ $# = 2 ] || refuse "usage: sign-module.sh HEADERS MODULE"
[ -x "$1/scripts/sign-file" ] || refuse "no $1/scripts/sign-file: sign $2 with the kernel's sign-file"
hash=$(option "$1" MODULE_SIG_HASH)
exec "$1/scripts/sign-file" "${hash:-sha256}" "${SIGN_KEY:?}" "${SIGN_CERT:?}" "$2"
