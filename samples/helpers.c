// SPDX-License-Identifier: GPL-2.0
/* An object belongs to one module; the sample has its own copy of the helpers. */
#include "../rust/helpers.c"
