// SPDX-License-Identifier: GPL-2.0
//! Amounts and ratios in few digits.

/// Units in which a unit is written, each with the smallest amount that is.
const TIMES: &[(f64, &str)] = &[(1.0, "µs"), (1e3, "ms"), (1e6, "s")];
const BYTES: &[(f64, &str)] = &[
    (1.0, "B"),
    (KIB, "KiB"),
    (KIB * KIB, "MiB"),
    (KIB * KIB * KIB, "GiB"),
];
const KIB: f64 = 1024.0;

/// An amount with a unit that suits it.
pub fn quantity(value: f64, unit: &str) -> String {
    let (value, units) = match unit {
        "us" => (value, TIMES),
        "ms" => (value * 1e3, TIMES),
        "B" => (value, BYTES),
        "KiB" => (value * KIB, BYTES),
        _ => return format!("{} {unit}", number(value)),
    };
    let fits = units.iter().rev().find(|(least, _)| value.abs() >= *least);
    let (least, unit) = fits.unwrap_or(&units[0]);
    format!("{} {unit}", number(value / least))
}

/// Like [`quantity`], without a unit that is always the same: see [`is_scaled`].
pub fn amount(value: f64, unit: &str) -> String {
    if is_scaled(unit) {
        quantity(value, unit)
    } else {
        number(value)
    }
}

/// Whether [`quantity`] writes it in larger or smaller units as well.
pub fn is_scaled(unit: &str) -> bool {
    is_bytes(unit) || matches!(unit, "us" | "ms")
}

/// Whether [`quantity`] counts bytes by this unit, whose round amounts are powers of two.
pub fn is_bytes(unit: &str) -> bool {
    matches!(unit, "B" | "KiB")
}

/// About three digits; whole numbers in full.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 100.0 {
        return grouped(value);
    }
    let digits = if value.abs() >= 10.0 { 1 } else { 2 };
    format!("{value:.digits$}")
}

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A quotient of about 1.
pub fn ratio(value: f64) -> String {
    if value > 0.0 && value < 0.0005 {
        return "<0.001".into();
    }
    let digits = match value.abs() {
        0.0 => 2,
        small if small < 0.1 => 3,
        middle if middle < 10.0 => 2,
        _ => 1,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_suit_the_amount() {
        let cases = [
            (0.5, "us", "0.50 µs"),
            (812.0, "us", "812 µs"),
            (1234.0, "us", "1.23 ms"),
            (0.5, "ms", "500 µs"),
            (2_500_000.0, "us", "2.50 s"),
            (0.0, "B", "0 B"),
            (1023.0, "B", "1,023 B"),
            (1024.0, "B", "1 KiB"),
            (1536.0, "KiB", "1.50 MiB"),
            (12.0, "commands", "12 commands"),
            (
                1_234_567.8,
                "instructions/MiB",
                "1,234,568 instructions/MiB",
            ),
            (-1234.5, "us", "-1.23 ms"),
        ];
        for (value, unit, text) in cases {
            assert_eq!(quantity(value, unit), text);
        }
        assert_eq!(amount(1234.0, "us"), "1.23 ms");
        assert_eq!(amount(1234.0, "commands"), "1,234");
    }

    #[test]
    fn small_ratios_keep_their_digits() {
        let texts = [0.0, 0.0001, 0.0123, 0.999, 1.0, 12.34].map(ratio);
        assert_eq!(texts, ["0.00", "<0.001", "0.012", "1.00", "1.00", "12.3"]);
    }
}
