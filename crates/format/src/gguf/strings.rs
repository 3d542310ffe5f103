//! Arrays of texts.

use std::fmt;
use std::ops::{Index, Range};

/// Texts in a row.
///
/// They stand in one place, one after another: a vocabulary has hundreds of thousands of them, and so many allocations
/// would take longer than a small model's first pass.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each ends; it starts where the one before ends.
    ends: Vec<usize>,
}

impl Strings {
    /// Room for `n` texts.
    pub fn with_capacity(n: usize) -> Self {
        Strings { text: String::new(), ends: Vec::with_capacity(n) }
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.text += text;
        self.ends.push(self.text.len());
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text at this place, if there is one.
    pub fn get(&self, index: usize) -> Option<&str> {
        (index < self.len()).then(|| &self[index])
    }

    /// The texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|index| &self[index])
    }

    fn place(&self, index: usize) -> Range<usize> {
        index.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[index]
    }
}

impl Index<usize> for Strings {
    type Output = str;

    fn index(&self, index: usize) -> &str {
        &self.text[self.place(index)]
    }
}

impl<T: AsRef<str>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut strings = Strings::default();
        strings.extend(texts);
        strings
    }
}

impl<T: AsRef<str>> Extend<T> for Strings {
    fn extend<I: IntoIterator<Item = T>>(&mut self, texts: I) {
        texts.into_iter().for_each(|text| self.push(text.as_ref()));
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_order() {
        let texts = ["", "dew", "ж", "", "drop"];
        let strings: Strings = texts.iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), texts);
        assert_eq!((strings.len(), strings.get(2), strings.get(5)), (5, Some("ж"), None));
        assert_eq!(format!("{strings:?}"), format!("{texts:?}"));
        assert!(Strings::default().is_empty() && Strings::default().get(0).is_none());
    }
}
