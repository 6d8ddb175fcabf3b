//! What surrounds the rows of a binary `COPY`: its header and trailer, and rows too large to hold. Bytes only.

const COPY_SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header's extension.
const COPY_HEADER_BYTES: usize = 19;

/// Strips the header and the trailer of a binary `COPY` from the messages they come in.
#[derive(Default)]
pub(crate) struct Envelope {
    opened: bool,
}

impl Envelope {
    pub(crate) fn is_open(&self) -> bool {
        self.opened
    }

    /// The message with the header will come again.
    pub(crate) fn close(&mut self) {
        self.opened = false;
    }

    /// The message with the header was passed over.
    pub(crate) fn open(&mut self) {
        self.opened = true;
    }

    /// The row in this message, if there is one. Err: this is not binary `COPY`.
    pub(crate) fn row<'a>(&mut self, payload: &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
        let mut row = payload;
        if !self.opened {
            let extension = payload
                .strip_prefix(COPY_SIGNATURE)
                .and_then(|rest| rest.get(4..)?.first_chunk::<4>().copied())
                .ok_or("the server's answer does not begin as binary `COPY` does")?;
            let header_bytes = COPY_HEADER_BYTES.saturating_add(u32::from_be_bytes(extension) as usize);
            row = payload.get(header_bytes..).ok_or("the header of the binary `COPY` is cut short")?;
            self.opened = true;
        }
        Ok((!row.is_empty() && row != [0xff, 0xff]).then_some(row))
    }
}

/// Walks over a message that is too large to buffer, noting which column made it so.
pub(crate) struct Walker {
    pub(crate) message_bytes_max: usize,
    /// The `COPY` header has gone by.
    pub(super) opened: bool,
    total_bytes: usize,
    /// Bytes until the next length field.
    value_bytes: usize,
    field: [u8; 4],
    field_filled: usize,
    column: Option<usize>,
    largest: (usize, usize),
}

impl Walker {
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            opened: false,
            total_bytes: 0,
            value_bytes: 0,
            field: [0; 4],
            field_filled: 0,
            column: None,
            largest: (0, 0),
        }
    }

    pub(super) fn start(&mut self, payload_bytes: usize) {
        *self = Self { opened: self.opened, total_bytes: payload_bytes, ..Self::new(self.message_bytes_max) };
        // The field count, and in the very first message the `COPY` header, come before the first length.
        self.value_bytes = if self.opened { 2 } else { COPY_HEADER_BYTES + 2 };
        self.opened = true;
    }

    /// Size of the row, index of its largest column, and that column's size.
    pub(crate) fn result(&self) -> (usize, usize, usize) {
        (self.total_bytes, self.largest.0, self.largest.1)
    }

    pub(super) fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.value_bytes);
            self.value_bytes -= skipped;
            bytes = &bytes[skipped..];
            if self.value_bytes > 0 {
                return;
            }
            let taken = bytes.len().min(4 - self.field_filled);
            self.field[self.field_filled..self.field_filled + taken].copy_from_slice(&bytes[..taken]);
            self.field_filled += taken;
            bytes = &bytes[taken..];
            if self.field_filled == 4 {
                self.field_filled = 0;
                self.value_bytes = usize::try_from(i32::from_be_bytes(self.field)).unwrap_or(0);
                let column = self.column.map_or(0, |column| column + 1);
                self.column = Some(column);
                if self.value_bytes > self.largest.1 {
                    self.largest = (column, self.value_bytes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_leaves_the_row() {
        let mut first = COPY_SIGNATURE.to_vec();
        first.extend_from_slice(&[0; 8]);
        let mut empty = first.clone();
        empty.extend_from_slice(&[0xff, 0xff]);
        assert_eq!(Envelope::default().row(&empty), Ok(None));
        first.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        let mut envelope = Envelope::default();
        assert_eq!(envelope.row(&first), Ok(Some(&[0, 1, 0, 0, 0, 0][..])));
        assert_eq!(envelope.row(&[0, 0]), Ok(Some(&[0, 0][..])));
        assert_eq!(envelope.row(&[0xff, 0xff]), Ok(None));
        assert!(Envelope::default().row(b"1\tone\n").is_err());
    }

    #[test]
    fn the_walker_names_the_largest_column_however_the_bytes_arrive() {
        let mut row = vec![0, 3, 0, 0, 0, 1, 7, 0, 0, 1, 0];
        row.extend_from_slice(&[9; 256]);
        row.extend_from_slice(&[0xff; 4]);
        for prefix in [&[][..], &[COPY_SIGNATURE.as_slice(), &[0; 8]].concat()] {
            let message = [prefix, &row].concat();
            for step in [1, 2, 3, 7, 64, message.len()] {
                let mut walker = Walker::new(10);
                walker.opened = prefix.is_empty();
                walker.start(message.len());
                message.chunks(step).for_each(|bytes| walker.walk(bytes));
                assert_eq!(walker.result(), (message.len(), 1, 256), "step {step}");
            }
        }
    }
}
