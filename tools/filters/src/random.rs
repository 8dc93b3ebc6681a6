//! Profiles made at random, the same ones for the same seed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A source of numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Values that differ in one half, or by one.
pub const VALUES: [u64; 12] =
    [0, 1, 2, 5, 16, 0xffff_ffff, 1 << 32, (1 << 32) + 1, (5 << 32) + 5, 1 << 63, u64::MAX - 1, u64::MAX];

const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
const ARCHITECTURES: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

/// An action, with its errno, as fields of an object.
fn action(random: &mut Random) -> (&'static str, u64) {
    let action = random.one(&["ERRNO", "ERRNO", "ALLOW", "ALLOW", "KILL", "KILL_PROCESS", "TRAP", "LOG", "TRACE"]);
    (action, random.one(&[1, 22, 38, 95]).to_owned())
}

fn conditions(random: &mut Random) -> Value {
    let mut indexes: Vec<u64> = (0..6).collect();
    let count = random.below(4); // none is a rule without conditions
    (0..count)
        .map(|_| {
            let index = indexes.swap_remove(random.below(indexes.len()));
            let operator = random.one(&OPERATORS);
            // A mask of nothing makes a condition that libseccomp takes for none.
            let least = if *operator == "MASKED_EQ" { 1 } else { 0 };
            json!({"index": index, "op": format!("SCMP_CMP_{operator}"),
                   "value": random.one(&VALUES) | least, "valueTwo": random.one(&VALUES)})
        })
        .collect()
}

/// A profile of rules for some of `names`. All rules of one call that have
/// conditions answer the same: of two that hold at once libseccomp takes the one
/// that its tree happens to have first.
pub fn profile(random: &mut Random, names: &[String]) -> Value {
    let (default, errno) = action(random);
    let mut profile = json!({"defaultAction": format!("SCMP_ACT_{default}")});
    if matches!(default, "ERRNO" | "TRACE") {
        profile["defaultErrnoRet"] = json!(errno);
    }
    let listed = random.below(8);
    let listed = ARCHITECTURES.iter().enumerate().filter(|(bit, _)| listed & 1 << bit != 0);
    profile["architectures"] = listed.map(|(_, name)| json!(name)).collect();
    // Mostly a few calls, sometimes nearly all of them.
    let names = match random.below(4) {
        0 => names,
        _ => &names[random.below(names.len() - 40)..][..40],
    };
    let mut answers = BTreeMap::new();
    let mut rules = Vec::new();
    for _ in 0..random.below(60) {
        let conditions = conditions(random);
        let (action, errno) = action(random);
        let count = if conditions == json!([]) { random.below(20) } else { random.below(3) };
        for _ in 0..=count {
            let name = random.one(names);
            let (action, errno) = match conditions == json!([]) {
                true => (action, errno),
                false => *answers.entry(name).or_insert((action, errno)),
            };
            let mut rule = json!({"names": [name], "action": format!("SCMP_ACT_{action}"), "args": conditions});
            if matches!(action, "ERRNO" | "TRACE") {
                rule["errnoRet"] = json!(errno);
            }
            rules.push(rule);
        }
    }
    profile["syscalls"] = json!(rules);
    profile
}
