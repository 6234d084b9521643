//! Studies as a page of documentation in GitHub's Markdown, and the pictures that it shows: SVG files that stand alone
//! and follow the reader's light or dark mode by themselves.

use anyhow::Result;
use minijinja::HtmlEscape;

use super::figures::figures;
use super::view;
use crate::report::findings::Findings;
use crate::report::page::{PALETTE, Section, Table};
use crate::report::plots::canvas::FINE;

/// What the page's style sheet says of pictures, for one that stands alone.
const ALONE: &str = "svg { background: var(--card); --paper: var(--card); font-family: system-ui, \
                     -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\", Arial, sans-serif; } \
                     text { font-variant-numeric: tabular-nums; } \
                     polyline { stroke-linejoin: round; stroke-linecap: round; }";
const HALO: &str = " text { paint-order: stroke; stroke: var(--paper); stroke-width: 16; stroke-linejoin: round; }";

/// The name of an experiment's picture as a file.
fn file_name(id: &str, i: usize) -> String {
    format!("{id}-{}.svg", i + 1)
}

/// An experiment's pictures as SVG files that stand alone: names and texts.
///
/// # Errors
///
/// As [`render`](super::render).
pub fn picture_files(findings: &Findings) -> Result<Vec<(String, String)>> {
    findings.metrics()?;
    let id = findings.id();
    let files = figures(findings)?.into_iter().enumerate().map(|(i, f)| {
        // Air around the picture, as the page's cards have it.
        let (air, scale) = (48, FINE);
        let (w, h) = (f.width + 2 * air, f.height + 2 * air);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-{air} -{air} {w} {h}\" \
             width=\"{}\" height=\"{}\" role=\"img\"{}>\n<title>{}</title>\n<style>\n{PALETTE}{ALONE}{}\n\
             </style>\n<rect x=\"-{air}\" y=\"-{air}\" width=\"{w}\" height=\"{h}\" rx=\"32\" fill=\"var(--card)\"/>\n\
             {}</svg>\n",
            w / scale,
            h / scale,
            if f.crisp { " shape-rendering=\"crispEdges\"" } else { "" },
            HtmlEscape(&f.label),
            if f.wide && !f.crisp { HALO } else { "" },
            f.body,
        );
        // XML knows no control characters.
        let text = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        (file_name(&id, i), text)
    });
    Ok(files.collect())
}

/// Text that GitHub shows as it is, on one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// The same as a paragraph: what would make it a list or a rule loses that meaning.
fn paragraph(text: &str) -> String {
    let text = plain(text);
    match text.find(|c: char| !c.is_ascii_digit()) {
        Some(0) if text.starts_with(['-', '+', '=']) => format!("\\{text}"),
        Some(n) if n > 0 && text[n..].starts_with(['.', ')']) => {
            format!("{}\\{}", &text[..n], &text[n..])
        }
        _ => text,
    }
}

impl Table {
    /// The table in GitHub's Markdown.
    fn markdown(&self) -> String {
        let mut out = String::from("|");
        for column in &self.columns {
            out += &format!(" {} |", plain(&column.text));
        }
        out += "\n|";
        for (i, column) in self.columns.iter().enumerate() {
            let right = self.numbers && i > 0 && !column.class.contains("words");
            out += if right { " ---: |" } else { " --- |" };
        }
        for row in &self.rows {
            out += "\n|";
            // The remark goes under the words that it is on.
            let last = row.cells.iter().rposition(|c| c.class.contains("words"));
            for (i, cell) in row.cells.iter().enumerate() {
                let mut text = plain(&cell.text);
                if cell.class == "best" {
                    text = format!("**{text}**");
                }
                if !cell.link.is_empty() {
                    text = format!("[{text}](#{})", cell.link);
                }
                if Some(i) == last && !row.remark.is_empty() {
                    text += &format!("<br><sub>{}</sub>", plain(&row.remark));
                }
                out += &format!(" {text} |");
            }
        }
        out + "\n"
    }
}

/// Experiments as a page of documentation in GitHub's Markdown, with the pictures of [`picture_files`]
/// in a folder beside it.
///
/// # Errors
///
/// As [`render`](super::render).
pub fn markdown(findings: &[Findings], folder: &str) -> Result<String> {
    let view = view(findings)?;
    let folder: String = folder
        .trim_end_matches('/')
        .chars()
        .map(|c| match c {
            ' ' => "%20".into(),
            '(' => "%28".into(),
            ')' => "%29".into(),
            '<' => "%3C".into(),
            '>' => "%3E".into(),
            c => c.to_string(),
        })
        .collect();
    let mut blocks = vec![format!("# {}", plain(&view.title))];
    blocks.extend([paragraph(&view.lead), paragraph(&view.sub)]);
    let tables = Section::tables(view.tables);
    for section in view.sections.iter().chain([&tables]) {
        if !section.id.is_empty() {
            blocks.push(format!("<a id=\"{}\"></a>", section.id));
        }
        if !section.heading.is_empty() {
            blocks.push(format!("## {}", plain(&section.heading)));
        }
        if !section.source.is_empty() {
            blocks.push(format!("*{}*", plain(&section.source)));
        }
        if !section.warning.is_empty() {
            blocks.push(format!("> **{}**", plain(&section.warning)));
        }
        blocks.extend(section.about.iter().map(|text| paragraph(text)));
        for (i, figure) in section.figures.iter().enumerate() {
            let path = format!("{folder}/{}", file_name(&section.id, i));
            blocks.push(format!(
                "![{}]({})",
                plain(&figure.label),
                path.trim_start_matches('/')
            ));
            blocks.push(format!("<sub>{}</sub>", plain(&figure.caption)));
        }
        let terms = section.terms.iter();
        let terms = terms.map(|t| format!("- **{}**: {}.", plain(&t.word), plain(&t.meaning)));
        blocks.push(terms.collect::<Vec<_>>().join("\n"));
        for table in &section.tables {
            match table.open {
                true => {
                    blocks.push(format!("### {}", table.heading));
                    blocks.push(paragraph(&table.note));
                    blocks.push(table.markdown());
                }
                false => blocks.push(format!(
                    "<details><summary>{}</summary>\n\n{}\n</details>",
                    table.heading,
                    table.markdown()
                )),
            }
        }
        let notes = section.notes.iter().map(|n| format!("- {}", paragraph(n)));
        blocks.push(notes.collect::<Vec<_>>().join("\n"));
    }
    blocks.retain(|block| !block.trim().is_empty());
    Ok(blocks
        .iter()
        .map(|b| b.trim_end())
        .collect::<Vec<_>>()
        .join("\n\n")
        + "\n")
}
