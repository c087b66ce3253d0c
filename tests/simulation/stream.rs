//! What one connection was given of one conversation: in order, without gap, without repeat.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The next place, once it is known.
    next: Option<i64>,
    /// A resume is under way, from behind this place; and how often the message after it came since: once live before the server
    /// heard of the resume, perhaps, and once by the resume.
    resume: Option<(i64, u8)>,
    /// The server said that it could not give everything: the client asks again.
    pub(crate) is_broken: bool,
}

impl Stream {
    /// Everything up to `seq` is known.
    pub(crate) fn starts_after(seq: i64) -> Self {
        Self { next: Some(seq + 1), ..Self::default() }
    }

    /// The client asked for what comes after `seq`.
    pub(crate) fn asks_after(&mut self, seq: i64) {
        if self.resume.is_none() || self.is_broken {
            self.resume = Some((seq, 0));
        }
    }

    pub(crate) fn is_resuming(&self) -> bool {
        self.resume.is_some() && !self.is_broken
    }

    /// The newest place before which nothing is missing.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.next.map(|next| next - 1)
    }

    /// A message came. `may_skip` says which places nobody was told of.
    pub(crate) fn take(&mut self, seq: i64, may_skip: impl Fn(i64) -> bool) -> Result<(), String> {
        if let Some((after, times)) = &mut self.resume
            && seq == *after + 1
            && *times < 2
        {
            *times += 1;
            self.next = Some(seq + 1);
            return Ok(());
        }
        match self.next {
            None => self.next = Some(seq + 1),
            Some(next) if seq == next => self.next = Some(seq + 1),
            Some(next) if seq > next && (next..seq).all(may_skip) => self.next = Some(seq + 1),
            Some(_) if self.is_broken => {}
            Some(next) => return Err(format!("place {next} was due and {seq} came: {self:?}")),
        }
        Ok(())
    }

    /// `resumed` came.
    pub(crate) fn resumed(&mut self, last_seq: i64, is_complete: bool) -> Result<(), String> {
        let resume = self.resume.take();
        if is_complete {
            if let Some((after, times)) = resume
                && !self.is_broken
                && self.newest() != Some(last_seq)
                && (times > 0 || after < last_seq)
            {
                return Err(format!("resumed up to {last_seq}, and {:?} was given", self.newest()));
            }
            self.is_broken = false;
            self.next = Some(self.next.unwrap_or(0).max(last_seq + 1));
        } else {
            self.is_broken = true;
            self.next = Some(last_seq + 1);
        }
        Ok(())
    }

    /// A resume of this conversation, or of another one asked for together with it, failed.
    pub(crate) fn refused(&mut self) {
        self.is_broken = true;
    }
}
