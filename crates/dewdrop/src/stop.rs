//! Texts that end generation.

/// Holds text back for as long as it may become a stop text.
pub(crate) struct StopTexts {
    texts: Vec<String>,
    held: String,
}

impl StopTexts {
    /// No text is empty.
    pub(crate) fn new(texts: &[String]) -> Self {
        StopTexts { texts: texts.to_vec(), held: String::new() }
    }

    /// Takes more text. Yields what is surely not part of a stop text, and the index of the stop text that came.
    pub(crate) fn push(&mut self, text: &str) -> (String, Option<usize>) {
        self.held.push_str(text);
        if let Some((start, index)) = self.first_match() {
            let mut before = std::mem::take(&mut self.held);
            before.truncate(start);
            return (before, Some(index));
        }
        let rest = self.held.split_off(self.n_free());
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// What is held back, once nothing more comes.
    pub(crate) fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop text that begins first begins, and its index; the earlier listed of two.
    fn first_match(&self) -> Option<(usize, usize)> {
        let places = self.texts.iter().enumerate();
        places.filter_map(|(index, text)| Some((self.held.find(text)?, index))).min()
    }

    /// Bytes before the longest end that is the beginning of a stop text.
    fn n_free(&self) -> usize {
        let may_begin = |start: &usize| {
            let end = &self.held[*start..];
            self.texts.iter().any(|text| text.starts_with(end))
        };
        let longest = self.texts.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let starts = self.held.char_indices().map(|(start, _)| start).filter(|start| *start >= from);
        starts.into_iter().find(may_begin).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(texts: &[&str]) -> StopTexts {
        StopTexts::new(&texts.iter().map(|text| text.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn without_stop_texts_everything_passes() {
        assert_eq!(stops(&[]).push("dew"), ("dew".into(), None));
    }

    #[test]
    fn a_beginning_is_held_until_it_is_decided() {
        let mut stops = stops(&["\nUser:"]);
        assert_eq!(stops.push("yes\n"), ("yes".into(), None));
        assert_eq!(stops.push("Us"), ("".into(), None));
        assert_eq!(stops.push("ually"), ("\nUsually".into(), None));
        assert_eq!(stops.push("\nUser: no"), ("".into(), Some(0)));
        assert_eq!(stops.flush(), "");
    }

    #[test]
    fn the_first_match_counts_and_cuts() {
        assert_eq!(stops(&["c", "b"]).push("abc"), ("a".into(), Some(1)));
        assert_eq!(stops(&["bc", "b"]).push("abc"), ("a".into(), Some(0)));
    }

    #[test]
    fn characters_stay_whole() {
        let mut stops = stops(&["é露x"]);
        assert_eq!(stops.push("caf\u{e9}"), ("caf".into(), None));
        assert_eq!(stops.push("露"), ("".into(), None));
        assert_eq!(stops.flush(), "é露");
    }

    #[test]
    fn overlapping_beginnings_are_found() {
        let mut stops = stops(&["aab"]);
        assert_eq!(stops.push("aaa"), ("a".into(), None));
        assert_eq!(stops.push("b!"), ("".into(), Some(0)));
    }
}
