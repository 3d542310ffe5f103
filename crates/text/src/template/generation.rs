//! `{% generation %}` blocks, which mark the assistant's words for training.
//!
//! For prompts they mean nothing. Turning them into blocks that are always taken keeps their white space rules.

/// The template with the marks turned into plain blocks.
pub(super) fn plain(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        plain += before;
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        plain += &plain_tag(tag);
        rest = after;
    }
    plain + rest
}

fn plain_tag(tag: &str) -> String {
    let name = tag.trim_start_matches("{%").trim_end_matches("%}").trim_matches(['-', '+']).trim();
    match name {
        "generation" => tag.replacen(name, "if true", 1),
        "endgeneration" => tag.replacen(name, "endif", 1),
        _ => tag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn marks_become_blocks_and_nothing_else_changes() {
        let source = "a{%- generation -%}{{ x }}{% endgeneration +%}{% if generation %}{% broken";
        assert_eq!(plain(source), "a{%- if true -%}{{ x }}{% endif +%}{% if generation %}{% broken");
    }
}
