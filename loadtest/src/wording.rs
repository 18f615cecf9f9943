//! Words for pages, questions and answers: generated from a seed, so that every run reads and asks the same.

/// A small generator of numbers that only have to look mixed (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

/// What a business looks after.
const THINGS: [&str; 40] = [
    "boiler",
    "roof",
    "kitchen",
    "garden",
    "window",
    "carpet",
    "furnace",
    "drain",
    "faucet",
    "gutter",
    "heater",
    "filter",
    "pump",
    "valve",
    "meter",
    "thermostat",
    "chimney",
    "fence",
    "driveway",
    "basement",
    "attic",
    "stairway",
    "ceiling",
    "floor",
    "cabinet",
    "shower",
    "bathtub",
    "radiator",
    "socket",
    "cable",
    "antenna",
    "awning",
    "balcony",
    "terrace",
    "cellar",
    "door",
    "lock",
    "lamp",
    "mirror",
    "shelf",
];
/// What is done with it.
const DEEDS: [&str; 24] = [
    "inspected",
    "cleaned",
    "replaced",
    "measured",
    "painted",
    "sealed",
    "insulated",
    "polished",
    "delivered",
    "installed",
    "adjusted",
    "repaired",
    "tested",
    "balanced",
    "flushed",
    "rewired",
    "reinforced",
    "levelled",
    "trimmed",
    "varnished",
    "assembled",
    "removed",
    "documented",
    "approved",
];
/// Where.
const PLACES: [&str; 24] = [
    "Ashford",
    "Brookfield",
    "Cedarville",
    "Dunmore",
    "Eastgate",
    "Fairview",
    "Glenwood",
    "Hartley",
    "Ironbridge",
    "Juniper",
    "Kingsway",
    "Lakeside",
    "Millbrook",
    "Northend",
    "Oakdale",
    "Parkside",
    "Quarry",
    "Riverside",
    "Stonehill",
    "Thornton",
    "Underhill",
    "Valley",
    "Westbrook",
    "Yarrow",
];
/// How or when.
const MANNERS: [&str; 24] = [
    "before the first frost",
    "within two working days",
    "on a quiet weekday morning",
    "together with the yearly check",
    "after a short phone call",
    "without moving the furniture",
    "with parts from our own store",
    "under a five year guarantee",
    "by a team of two",
    "in the presence of the owner",
    "with a written report",
    "at the end of the season",
    "while the power stays on",
    "using water based materials",
    "after the permit arrives",
    "during the school holidays",
    "as soon as the ground is dry",
    "with a spare key",
    "from the outside only",
    "in a single visit",
    "following the maker's manual",
    "with photographs of each step",
    "once the old paint is gone",
    "at no extra charge",
];

impl Dice {
    /// A generator that always gives the same numbers for a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }
}

/// A sentence of about fifteen words.
pub(crate) fn sentence(dice: &mut Dice) -> String {
    let (thing, deed, place, manner) = (dice.pick(&THINGS), dice.pick(&DEEDS), dice.pick(&PLACES), dice.pick(&MANNERS));
    match dice.below(3) {
        0 => format!("In {place} every {thing} is {deed} {manner}, and the {} beside it as well.", dice.pick(&THINGS)),
        1 => format!("Customers from {place} often ask whether a {thing} can be {deed} {manner}."),
        _ => format!("Our crew in {place} has {deed} more than {} a {thing} {manner} this year.", 20 + dice.below(900)),
    }
}

/// About so many words of running text.
pub(crate) fn text(dice: &mut Dice, words: usize) -> String {
    let mut text = String::with_capacity(words * 7);
    let mut count = 0;
    while count < words {
        let next = sentence(dice);
        count += next.split(' ').count();
        text.push_str(&next);
        text.push(' ');
    }
    text
}

/// A question as a visitor asks it, different for every number.
pub(crate) fn question(number: u64) -> String {
    let mut dice = Dice::new(number);
    let (thing, deed, place) = (dice.pick(&THINGS), dice.pick(&DEEDS), dice.pick(&PLACES));
    match dice.below(3) {
        0 => format!("Can a {thing} be {deed} in {place}?"),
        1 => format!("How long does it take until my {thing} is {deed}?"),
        _ => format!("Do you come to {place} when a {thing} has to be {deed}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_words_and_another_seed_others() {
        let words = |seed| text(&mut Dice::new(seed), 200);
        assert_eq!(words(1), words(1));
        assert_ne!(words(1), words(2));
        assert!((200..230).contains(&words(1).split_whitespace().count()));
    }

    #[test]
    fn questions_differ() {
        let questions: std::collections::BTreeSet<String> = (0..1000).map(question).collect();
        assert!(questions.len() > 900, "{}", questions.len());
    }
}
