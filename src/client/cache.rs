//! The trait of all clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Changes, Condition, End, Error, Lifetime, PutOptions, Reply, Request, Response, Stored,
    Version, Versioned, Watch, parse,
};

/// About so many keys are looked at for each page of [`Cache::keys`].
const SCAN_COUNT: u64 = 1_000;

/// A cache: somewhere in the network, or in this process. See the [module](super).
///
/// Every method fails with an [`Error`]: with [`Error::WrongType`] if the key holds a value of another
/// type; with those about the way to the node ([`Error::Unavailable`], [`Error::Lost`],
/// [`Error::Deadline`], [`Error::Overloaded`], [`Error::Unauthorized`]) at any time.
pub trait Cache: Send + Sync {
    /// Carries a request out. All other methods but [`Cache::watch`] come here.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>>;

    /// Follows keys: what becomes of them from now on, and of keys that are named one by one also
    /// what they are. The stream goes on when connections break; what may have been missed
    /// meanwhile it says with [`super::Event::Missed`]. It ends after an error.
    fn watch(&self, watch: Watch) -> Changes;

    /// The value of a key as JSON, whatever its type.
    fn get<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<T>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::Get(key.to_owned()));
        async move {
            let found = found.await?.versioned()?;
            found.map(|found| parse(&found.value)).transpose()
        }
    }

    /// The value of a key with its version.
    fn get_versioned<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<Versioned<T>>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::Get(key.to_owned()));
        async move {
            let Some(found) = found.await?.versioned()? else {
                return Ok(None);
            };
            Ok(Some(Versioned {
                value: parse(&found.value)?,
                version: found.version,
                ttl: found.ttl,
            }))
        }
    }

    /// Puts a value, whatever was there; it lives until it is deleted or evicted. Its version.
    fn put<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
    ) -> impl Future<Output = Result<Version, Error>> + Send
    where
        Self: Sized,
    {
        self.put_with(key, value, PutOptions::default())
    }

    /// Puts a value for a time, or under a condition: [`Error::Condition`] if that does not hold.
    fn put_with<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
        options: PutOptions,
    ) -> impl Future<Output = Result<Version, Error>> + Send
    where
        Self: Sized,
    {
        let key = key.to_owned();
        let put = serde_json::to_vec(value).map(|json| {
            self.call(Request::Put {
                key,
                value: Stored::Json(json.into()),
                options,
            })
        });
        async move {
            put.map_err(|error| Error::type_of(&error))?
                .await?
                .version()
        }
    }

    /// Changes a document by a merge patch (RFC 7396), and returns it as it is then; one that is not
    /// there is patched as `{}`.
    fn merge<T: DeserializeOwned>(
        &self,
        key: &str,
        patch: &(impl Serialize + ?Sized),
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        Self: Sized,
    {
        let key = key.to_owned();
        let merge = serde_json::to_vec(patch).map(|patch| {
            let patch = patch.into();
            self.call(Request::Merge { key, patch })
        });
        async move {
            let merged = merge.map_err(|error| Error::type_of(&error))?.await?;
            parse(&merged.bytes()?.ok_or_else(Error::unexpected)?)
        }
    }

    /// The values that a JSONPath selects in a document, such as `$.stops[*].name`; `None` if there
    /// is no document.
    fn query<T: DeserializeOwned>(
        &self,
        key: &str,
        path: &str,
    ) -> impl Future<Output = Result<Option<Vec<T>>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::Query {
            key: key.to_owned(),
            path: path.to_owned(),
        });
        async move {
            let found = found.await?.bytes()?;
            found.map(|json| parse(&json)).transpose()
        }
    }

    /// Removes a key, whatever its type; whether it had a value.
    fn delete(&self, key: &str) -> impl Future<Output = Result<bool, Error>> + Send
    where
        Self: Sized,
    {
        self.delete_if(key, Condition::None)
    }

    /// Removes a key under a condition: [`Error::Condition`] if that does not hold.
    fn delete_if(
        &self,
        key: &str,
        condition: Condition,
    ) -> impl Future<Output = Result<bool, Error>> + Send
    where
        Self: Sized,
    {
        let key = key.to_owned();
        let deleted = self.call(Request::Delete { key, condition });
        async move { deleted.await?.yes() }
    }

    /// The bytes of a key, as [`Cache::put_bytes`], the Redis protocol or `/kv` have written them.
    fn get_bytes(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::GetBytes(key.to_owned()));
        async move { Ok(found.await?.versioned()?.map(|found| found.value)) }
    }

    /// Puts bytes, whatever they are.
    fn put_bytes(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> impl Future<Output = Result<Version, Error>> + Send
    where
        Self: Sized,
    {
        let (key, value) = (key.to_owned(), Stored::Bytes(value.into()));
        let put = self.call(Request::Put {
            key,
            value,
            options,
        });
        async move { put.await?.version() }
    }

    /// What a counter stands at.
    fn counter(&self, key: &str) -> impl Future<Output = Result<Option<i64>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::Counter(key.to_owned()));
        async move { found.await?.optional_integer() }
    }

    /// Adds to a counter; what it stands at then. One that is not there is made, counted from 0.
    /// [`Error::Overflow`] leaves it as it is. However often it has to be sent, it is added once.
    fn increment(&self, key: &str, by: i64) -> impl Future<Output = Result<i64, Error>> + Send
    where
        Self: Sized,
    {
        let (key, ttl) = (key.to_owned(), None);
        let sum = self.call(Request::Increment { key, by, ttl });
        async move { sum.await?.integer() }
    }

    /// Sets a counter.
    fn set_counter(
        &self,
        key: &str,
        value: i64,
        options: PutOptions,
    ) -> impl Future<Output = Result<Version, Error>> + Send
    where
        Self: Sized,
    {
        let (key, value) = (key.to_owned(), Stored::Counter(value));
        let put = self.call(Request::Put {
            key,
            value,
            options,
        });
        async move { put.await?.version() }
    }

    /// Whether a flag is set; `None` if it never was, true or false.
    fn flag(&self, key: &str) -> impl Future<Output = Result<Option<bool>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::Flag(key.to_owned()));
        async move { Ok(found.await?.optional_integer()?.map(|flag| flag == 1)) }
    }

    /// Sets a flag.
    fn set_flag(
        &self,
        key: &str,
        value: bool,
        options: PutOptions,
    ) -> impl Future<Output = Result<Version, Error>> + Send
    where
        Self: Sized,
    {
        let (key, value) = (key.to_owned(), Stored::Flag(value));
        let put = self.call(Request::Put {
            key,
            value,
            options,
        });
        async move { put.await?.version() }
    }

    /// Adds members to a set; how many are new.
    fn set_add(
        &self,
        key: &str,
        members: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let added = self.call(Request::SetAdd(key.to_owned(), owned(members)));
        async move { added.await?.count() }
    }

    /// Removes members of a set; how many were there.
    fn set_remove(
        &self,
        key: &str,
        members: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let removed = self.call(Request::SetRemove(key.to_owned(), owned(members)));
        async move { removed.await?.count() }
    }

    /// Whether a set has a member.
    fn set_contains(
        &self,
        key: &str,
        member: impl AsRef<[u8]>,
    ) -> impl Future<Output = Result<bool, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::SetContains(key.to_owned(), bytes(&member)));
        async move { found.await?.yes() }
    }

    /// All members of a set, in any order.
    fn set_members(&self, key: &str) -> impl Future<Output = Result<Vec<Bytes>, Error>> + Send
    where
        Self: Sized,
    {
        let members = self.call(Request::SetMembers(key.to_owned()));
        async move { members.await?.items() }
    }

    /// How many members a set has.
    fn set_length(&self, key: &str) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let length = self.call(Request::SetLength(key.to_owned()));
        async move { length.await?.count() }
    }

    /// The value of a field of a hash.
    fn hash_get(
        &self,
        key: &str,
        field: impl AsRef<[u8]>,
    ) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::HashGet(key.to_owned(), bytes(&field)));
        async move { found.await?.bytes() }
    }

    /// All fields of a hash with their values.
    fn hash_get_all(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<HashMap<Bytes, Bytes>, Error>> + Send
    where
        Self: Sized,
    {
        let found = self.call(Request::HashGetAll(key.to_owned()));
        async move { Ok(found.await?.pairs()?.into_iter().collect()) }
    }

    /// Sets fields of a hash; how many are new.
    fn hash_set(
        &self,
        key: &str,
        fields: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let fields = fields.into_iter();
        let fields = fields.map(|(field, value)| (bytes(&field), bytes(&value)));
        let set = self.call(Request::HashSet(key.to_owned(), fields.collect()));
        async move { set.await?.count() }
    }

    /// Removes fields of a hash; how many were there.
    fn hash_remove(
        &self,
        key: &str,
        fields: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let removed = self.call(Request::HashRemove(key.to_owned(), owned(fields)));
        async move { removed.await?.count() }
    }

    /// Adds to a field that holds a whole number; what it is then. One that is not there stands at 0.
    fn hash_increment(
        &self,
        key: &str,
        field: impl AsRef<[u8]>,
        by: i64,
    ) -> impl Future<Output = Result<i64, Error>> + Send
    where
        Self: Sized,
    {
        let sum = self.call(Request::HashIncrement(key.to_owned(), bytes(&field), by));
        async move { sum.await?.integer() }
    }

    /// How many fields a hash has.
    fn hash_length(&self, key: &str) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let length = self.call(Request::HashLength(key.to_owned()));
        async move { length.await?.count() }
    }

    /// Adds elements at an end of a list, one after another; how many there are then.
    fn list_push(
        &self,
        key: &str,
        end: End,
        elements: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let pushed = self.call(Request::ListPush(key.to_owned(), end, owned(elements)));
        async move { pushed.await?.count() }
    }

    /// Takes an element from an end of a list.
    fn list_pop(
        &self,
        key: &str,
        end: End,
    ) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send
    where
        Self: Sized,
    {
        let popped = self.call(Request::ListPop(key.to_owned(), end));
        async move { popped.await?.bytes() }
    }

    /// The elements of a list from one place to another, both included; the first is 0, the last -1.
    fn list_range(
        &self,
        key: &str,
        first: i64,
        last: i64,
    ) -> impl Future<Output = Result<Vec<Bytes>, Error>> + Send
    where
        Self: Sized,
    {
        let range = self.call(Request::ListRange(key.to_owned(), first, last));
        async move { range.await?.items() }
    }

    /// How many elements a list has.
    fn list_length(&self, key: &str) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let length = self.call(Request::ListLength(key.to_owned()));
        async move { length.await?.count() }
    }

    /// How long a value of any type lives; `None` if there is none.
    fn lifetime(&self, key: &str) -> impl Future<Output = Result<Option<Lifetime>, Error>> + Send
    where
        Self: Sized,
    {
        let left = self.call(Request::Lifetime(key.to_owned()));
        async move {
            let left = left.await?.optional_integer()?;
            Ok(left.map(|ms| match u64::try_from(ms) {
                Ok(ms) => Lifetime::For(Duration::from_millis(ms)),
                Err(_) => Lifetime::Forever,
            }))
        }
    }

    /// Lets a value of any type live so long from now on; whether that changed anything: not if there
    /// is none, or it lives for ever already and should.
    fn set_lifetime(
        &self,
        key: &str,
        lifetime: Lifetime,
    ) -> impl Future<Output = Result<bool, Error>> + Send
    where
        Self: Sized,
    {
        let set = self.call(Request::SetLifetime(key.to_owned(), lifetime));
        async move { set.await?.yes() }
    }

    /// Carries a command of the Redis protocol out. An error reply is an [`Error`].
    ///
    /// It is sent once: if the connection breaks meanwhile nobody knows whether it was carried out,
    /// and that is [`Error::Lost`].
    fn run(
        &self,
        words: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> impl Future<Output = Result<Reply, Error>> + Send
    where
        Self: Sized,
    {
        let ran = self.call(Request::Run(owned(words)));
        async move { ran.await?.reply() }
    }

    /// All keys that match a glob such as `bus:*`, read page by page as the stream is read. A key
    /// that has a value from the first page to the last comes once.
    fn keys(&self, pattern: impl AsRef<[u8]>) -> BoxStream<'_, Result<Bytes, Error>>
    where
        Self: Sized,
    {
        let pattern = bytes(&pattern);
        let pages = stream::try_unfold(Some(0), move |cursor| {
            let next = cursor.map(|cursor| {
                self.call(Request::Scan {
                    cursor,
                    pattern: pattern.clone(),
                    count: SCAN_COUNT,
                })
            });
            async move {
                let Some(page) = next else {
                    return Ok::<_, Error>(None);
                };
                let (next, keys) = page.await?.page()?;
                let keys = stream::iter(keys.into_iter().map(Ok));
                Ok(Some((keys, Some(next).filter(|next| *next != 0))))
            }
        });
        futures_util::TryStreamExt::try_flatten(pages).boxed()
    }

    /// Publishes a message to all who subscribe to the channel; how many of them the node that was
    /// asked has itself. It is sent once.
    fn publish(
        &self,
        channel: impl AsRef<[u8]>,
        message: impl AsRef<[u8]>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        Self: Sized,
    {
        let (channel, message) = (bytes(&channel), bytes(&message));
        let heard = self.call(Request::Publish { channel, message });
        async move { heard.await?.count() }
    }
}

impl<C: Cache + ?Sized> Cache for &C {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        (**self).call(request)
    }

    fn watch(&self, watch: Watch) -> Changes {
        (**self).watch(watch)
    }
}

impl<C: Cache + ?Sized> Cache for Arc<C> {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        (**self).call(request)
    }

    fn watch(&self, watch: Watch) -> Changes {
        (**self).watch(watch)
    }
}

impl<C: Cache + ?Sized> Cache for Box<C> {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        (**self).call(request)
    }

    fn watch(&self, watch: Watch) -> Changes {
        (**self).watch(watch)
    }
}

fn owned(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Bytes> {
    items.into_iter().map(|item| bytes(&item)).collect()
}

fn bytes(item: &impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(item.as_ref())
}
