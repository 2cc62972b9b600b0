//! English words to their stems: Snowball's english stemmer ("Porter2").
//!
//! Source: <https://snowballstem.org/algorithms/english/stemmer.html>, as PostgreSQL 15 ships it;
//! compared with its `english_stem` over thousands of words.

/// The stem of a word in lower case. Only words of `a`–`z` and `'` change.
pub(super) fn stem(word: &str) -> String {
    if word.chars().count() <= 2 {
        return word.to_owned();
    }
    if let Some((_, stem)) = EXCEPTIONS.iter().find(|(whole, _)| *whole == word) {
        return (*stem).to_owned();
    }
    let mut stemmer = Stemmer {
        // One byte a letter; those beyond ASCII are consonants and come back at the end.
        word: word
            .strip_prefix('\'')
            .unwrap_or(word)
            .chars()
            .map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(STRANGE))
            .collect(),
        one: 0,
        two: 0,
    };
    stemmer.mark();
    stemmer.plural();
    if !INVARIANT.contains(&&*stemmer.word) {
        stemmer.past();
        stemmer.final_y();
        stemmer.suffixes();
        stemmer.adjectives();
        stemmer.verbs();
        stemmer.last();
    }
    let mut strange = word.chars().filter(|c| !c.is_ascii());
    let letters = stemmer.word.iter().map(|letter| match *letter {
        STRANGE => strange.next().unwrap_or('?'),
        letter => char::from(letter.to_ascii_lowercase()),
    });
    letters.collect()
}

const STRANGE: u8 = 0xff;

const EXCEPTIONS: [(&str, &str); 18] = [
    ("skis", "ski"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("idly", "idl"),
    ("gently", "gentl"),
    ("ugly", "ugli"),
    ("early", "earli"),
    ("only", "onli"),
    ("singly", "singl"),
    ("sky", "sky"),
    ("news", "news"),
    ("howe", "howe"),
    ("atlas", "atlas"),
    ("cosmos", "cosmos"),
    ("bias", "bias"),
    ("andes", "andes"),
];

/// What stays once plurals are gone.
const INVARIANT: [&[u8]; 8] = [
    b"inning", b"outing", b"canning", b"herring", b"earring", b"proceed", b"exceed", b"succeed",
];

struct Stemmer {
    /// A `y` that is a consonant is upper case.
    word: Vec<u8>,
    /// Where the regions R1 and R2 begin.
    one: usize,
    two: usize,
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

impl Stemmer {
    fn mark(&mut self) {
        for at in 0..self.word.len() {
            if self.word[at] == b'y' && (at == 0 || is_vowel(self.word[at - 1])) {
                self.word[at] = b'Y';
            }
        }
        self.one = ["gener", "commun", "arsen"]
            .iter()
            .find(|head| self.word.starts_with(head.as_bytes()))
            .map_or_else(|| self.region(0), |head| head.len());
        self.two = self.region(self.one);
    }

    /// Behind the first consonant that follows a vowel.
    fn region(&self, from: usize) -> usize {
        let tail = &self.word[from..];
        let found = tail
            .windows(2)
            .position(|pair| is_vowel(pair[0]) && !is_vowel(pair[1]));
        found.map_or(self.word.len(), |at| from + at + 2)
    }

    fn ends(&self, suffix: &str) -> bool {
        self.word.ends_with(suffix.as_bytes())
    }

    fn cut(&mut self, letters: usize) {
        self.word.truncate(self.word.len().saturating_sub(letters));
    }

    fn swap(&mut self, letters: usize, with: &str) {
        self.cut(letters);
        self.word.extend_from_slice(with.as_bytes());
    }

    /// Whether the last `letters` lie in R1.
    fn in_one(&self, letters: usize) -> bool {
        self.word.len() >= self.one + letters
    }

    fn in_two(&self, letters: usize) -> bool {
        self.word.len() >= self.two + letters
    }

    fn has_vowel(&self, before: usize) -> bool {
        self.word[..before].iter().any(|letter| is_vowel(*letter))
    }

    /// Whether what is before the last `letters` ends in a short syllable.
    fn ends_short(&self, letters: usize) -> bool {
        match &self.word[..self.word.len() - letters] {
            [.., a, b, c] => {
                !is_vowel(*a) && is_vowel(*b) && !is_vowel(*c) && !matches!(c, b'w' | b'x' | b'Y')
            }
            [a, b] => is_vowel(*a) && !is_vowel(*b),
            _ => false,
        }
    }

    fn plural(&mut self) {
        for suffix in ["'s'", "'s", "'"] {
            if self.ends(suffix) {
                self.cut(suffix.len());
                break;
            }
        }
        if self.ends("sses") {
            self.cut(2);
        } else if self.ends("ied") || self.ends("ies") {
            let cut = if self.word.len() > 4 { 2 } else { 1 };
            self.cut(cut);
        } else if self.ends("us") || self.ends("ss") {
        } else if self.ends("s") && self.has_vowel(self.word.len().saturating_sub(2)) {
            self.cut(1);
        }
    }

    fn past(&mut self) {
        for suffix in ["eedly", "eed"] {
            if self.ends(suffix) {
                if self.in_one(suffix.len()) {
                    self.swap(suffix.len(), "ee");
                }
                return;
            }
        }
        for suffix in ["ingly", "edly", "ing", "ed"] {
            if !self.ends(suffix) {
                continue;
            }
            if !self.has_vowel(self.word.len() - suffix.len()) {
                return;
            }
            self.cut(suffix.len());
            if self.ends("at") || self.ends("bl") || self.ends("iz") {
                self.word.push(b'e');
            } else if let [.., a, b] = self.word[..]
                && a == b
                && b"bdfgmnprt".contains(&a)
            {
                self.cut(1);
            } else if self.one >= self.word.len() && self.ends_short(0) {
                self.word.push(b'e');
            }
            return;
        }
    }

    fn final_y(&mut self) {
        if let [_, .., before, last @ (b'y' | b'Y')] = &mut self.word[..]
            && !is_vowel(*before)
        {
            *last = b'i';
        }
    }

    fn suffixes(&mut self) {
        const TABLE: [(&str, &str); 24] = [
            ("ization", "ize"),
            ("ational", "ate"),
            ("fulness", "ful"),
            ("ousness", "ous"),
            ("iveness", "ive"),
            ("tional", "tion"),
            ("biliti", "ble"),
            ("lessli", "less"),
            ("entli", "ent"),
            ("ation", "ate"),
            ("alism", "al"),
            ("aliti", "al"),
            ("ousli", "ous"),
            ("iviti", "ive"),
            ("fulli", "ful"),
            ("enci", "ence"),
            ("anci", "ance"),
            ("abli", "able"),
            ("izer", "ize"),
            ("ator", "ate"),
            ("alli", "al"),
            ("bli", "ble"),
            ("ogi", "og"),
            ("li", ""),
        ];
        let Some((suffix, with)) = TABLE.iter().find(|(suffix, _)| self.ends(suffix)) else {
            return;
        };
        let length = suffix.len();
        let before = |stemmer: &Stemmer| {
            let at = stemmer.word.len().checked_sub(length + 1)?;
            stemmer.word.get(at).copied()
        };
        let allowed = self.in_one(length)
            && match *suffix {
                "ogi" => before(self) == Some(b'l'),
                "li" => before(self).is_some_and(|letter| b"cdeghkmnrt".contains(&letter)),
                _ => true,
            };
        if allowed {
            self.swap(length, with);
        }
    }

    fn adjectives(&mut self) {
        const TABLE: [(&str, &str); 9] = [
            ("ational", "ate"),
            ("tional", "tion"),
            ("alize", "al"),
            ("icate", "ic"),
            ("iciti", "ic"),
            ("ative", ""),
            ("ical", "ic"),
            ("ness", ""),
            ("ful", ""),
        ];
        if let Some((suffix, with)) = TABLE.iter().find(|(suffix, _)| self.ends(suffix))
            && self.in_one(suffix.len())
            && (*suffix != "ative" || self.in_two(suffix.len()))
        {
            self.swap(suffix.len(), with);
        }
    }

    fn verbs(&mut self) {
        const TABLE: [&str; 18] = [
            "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti",
            "ous", "ive", "ize", "ion", "al", "er", "ic",
        ];
        let Some(suffix) = TABLE.iter().find(|suffix| self.ends(suffix)) else {
            return;
        };
        let stem = self.word.len() - suffix.len();
        let fits = *suffix != "ion" || matches!(self.word[..stem].last(), Some(b's' | b't'));
        if self.in_two(suffix.len()) && fits {
            self.cut(suffix.len());
        }
    }

    fn last(&mut self) {
        if self.ends("e") {
            if self.in_two(1) || self.in_one(1) && !self.ends_short(1) {
                self.cut(1);
            }
        } else if self.ends("ll") && self.in_two(1) {
            self.cut(1);
        }
    }
}
