//! Multipart uploads under a fault plan.

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart};

use super::{FaultyStore, Operation, refused};

/// An upload to the wrapped store, each step of which is an operation of its own.
#[derive(Debug)]
pub struct FaultyUpload {
    store: FaultyStore,
    location: Path,
    upload: Box<dyn MultipartUpload>,
}

impl FaultyUpload {
    pub(super) fn new(store: FaultyStore, location: Path, upload: Box<dyn MultipartUpload>) -> Self {
        Self { store, location, upload }
    }
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.store.plan.admit(Operation::PutPart, &self.location) {
            Err(error) => async { Err(error) }.boxed(),
            Ok(failure_afterwards) => {
                let part = self.upload.put_part(data);
                async move {
                    part.await?;
                    failure_afterwards.map_or(Ok(()), Err)
                }
                .boxed()
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let Self { store, location, upload } = self;
        let effect = async {
            if store.plan.refuses_overwrites() {
                match store.inner.head(location).await {
                    Ok(_) => return Err(refused(location, "overwrites are refused")),
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            upload.complete().await
        };
        (store.run(Operation::CompleteMultipart, location, effect)).await
    }

    async fn abort(&mut self) -> Result<()> {
        let effect = self.upload.abort();
        (self.store.run(Operation::AbortMultipart, &self.location, effect)).await
    }
}
