//! Tables for people.

/// Sets rows below a heading in columns; numbers, in columns that `right` names, to the right.
pub(crate) fn table(heading: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - cell.chars().count());
            match right.contains(&column) {
                true => line.extend([room.as_str(), cell, "  "]),
                false => line.extend([cell.as_str(), &room, "  "]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "1 GiB".to_owned(), "x".to_owned()],
            vec!["längere".to_owned(), "10 GiB".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["NAME", "SIZE", "Z"], &[1], &rows),
            "NAME       SIZE  Z\na         1 GiB  x\nlängere  10 GiB\n"
        );
    }
}
