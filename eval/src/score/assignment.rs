//! The best one-to-one pairing of two lists, for comparisons that do not care about order.
//!
//! The Hungarian method (Kuhn 1955, Munkres 1957) with prices: O(n²m), n the shorter list. What a suite expects is written by
//! hand and short, so a long answer costs no more than it has elements.

/// For each row of `weights` the column it is paired with, so that the sum of all pairs' weights is the largest possible.
/// A pair of weight 0 is none. All rows have the same length.
pub(super) fn best_pairs(weights: &[Vec<usize>]) -> Vec<Option<usize>> {
    let rows = weights.len();
    let columns = weights.first().map_or(0, Vec::len);
    let mut pairs = vec![None; rows];
    if rows <= columns {
        for (row, column) in assign(rows, columns, |row, column| weights[row][column]).into_iter().enumerate() {
            pairs[row] = (weights[row][column] > 0).then_some(column);
        }
    } else {
        for (column, row) in assign(columns, rows, |column, row| weights[row][column]).into_iter().enumerate() {
            pairs[row] = (weights[row][column] > 0).then_some(column);
        }
    }
    pairs
}

/// A column for each row; there are at least as many columns as rows. Rows and columns count from 1 inside, 0 is nobody.
fn assign(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> usize) -> Vec<usize> {
    let mut row_price = vec![0_i64; rows + 1];
    let mut column_price = vec![0_i64; columns + 1];
    let mut owner = vec![0; columns + 1];
    for row in 1..=rows {
        let mut came_from = vec![0; columns + 1];
        let mut slack = vec![i64::MAX; columns + 1];
        let mut reached = vec![false; columns + 1];
        let mut column = 0;
        owner[0] = row;
        // Grow a tree of tight pairs from the new row until it meets a column that nobody owns.
        while owner[column] != 0 {
            reached[column] = true;
            let from = owner[column];
            let (mut step, mut next) = (i64::MAX, 0);
            for to in (1..=columns).filter(|to| !reached[*to]) {
                let cost = -(weight(from - 1, to - 1) as i64) - row_price[from] - column_price[to];
                if cost < slack[to] {
                    slack[to] = cost;
                    came_from[to] = column;
                }
                if slack[to] < step {
                    step = slack[to];
                    next = to;
                }
            }
            for to in 0..=columns {
                if reached[to] {
                    row_price[owner[to]] += step;
                    column_price[to] -= step;
                } else {
                    slack[to] -= step;
                }
            }
            column = next;
        }
        // Shift the owners along the path that led here.
        while column != 0 {
            owner[column] = owner[came_from[column]];
            column = came_from[column];
        }
    }
    let mut chosen = vec![0; rows];
    for column in 1..=columns {
        if owner[column] != 0 {
            chosen[owner[column] - 1] = column - 1;
        }
    }
    chosen
}
