#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What `make check` has of the fuzz targets, inside the toolroot. Prints KTAP.

exec "$(dirname "$0")/fuzz-targets.sh" smoke
