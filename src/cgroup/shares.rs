//! CPU shares of cgroup version 1 as a weight of version 2.

/// Binary digits behind the point.
const FRACTION: u32 = 40;

/// The weight of so many shares, as runc (1.3.2) and crun (1.23) have it:
/// ⌈10^((L² + 125·L)/612 - 7/34)⌉ with L = log₂(shares). It goes through the least
/// (2 is 1), the default (1024 is 100) and the most (262144 is 10000) of both.
pub(super) fn weight_of_shares(shares: u64) -> u32 {
    const MOST: u32 = 10_000;
    let shares = match u32::try_from(shares) {
        Ok(0..=2) => return 1,
        Ok(shares) if shares < 1 << 18 => shares,
        _ => return MOST,
    };
    // Without powers: the weight is the least whose logarithm is not below the
    // exponent, both to the base 2 and times 612.
    let l = log2(shares);
    let exponent = ((((l * l) >> FRACTION) + 125 * l - (126 << FRACTION)) * log2(10)) >> FRACTION;
    let (mut least, mut most) = (1, MOST);
    while least < most {
        let middle = (least + most) / 2;
        // What the logarithms are too small by is less than this.
        if 612 * log2(middle) + (612 << 8) >= exponent {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    least
}

/// The logarithm of a number that is not zero to the base 2, digit by digit: the
/// square of a number has twice its logarithm.
fn log2(number: u32) -> u128 {
    let whole = 31u32.saturating_sub(number.leading_zeros());
    let mut rest = u128::from(number) << (62 - whole);
    let mut logarithm = u128::from(whole);
    for _ in 0..FRACTION {
        rest = (rest * rest) >> 62;
        logarithm <<= 1;
        if rest >> 63 != 0 {
            rest >>= 1;
            logarithm |= 1;
        }
    }
    logarithm
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula in floating point.
    fn expected(shares: u32) -> u32 {
        let l = f64::from(shares).log2();
        10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u32
    }

    #[test]
    fn every_number_of_shares_gets_its_weight() {
        // As the others' tests and reports have them.
        for (shares, weight) in
            [(0, 1), (1, 1), (2, 1), (1024, 100), (2000, 170), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        // There the power is a whole number but for what floating point adds to it.
        let exact = |shares| matches!(shares, 2 | 1024 | 262_144);
        for shares in (2..=262_144).filter(|shares| !exact(*shares)) {
            assert_eq!(weight_of_shares(shares.into()), expected(shares), "{shares}");
        }
    }
}
