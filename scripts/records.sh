# The seven records that curl.post.sh writes and curl.get.sh reads back; sourced, not run. Keys are JSON: integers and
# strings. Some were chosen for what they must not be mixed up with: "aa" encodes to the integer 24929, and "2024-05-17"
# begins with one.
# shellcheck shell=bash disable=SC2034

keys=(
  '1'
  '24929'
  '"aa"'
  '"2024-05-17"'
  '"tram:12"'
  '"Küche 3/b"'
  '"550e8400-e29b-41d4-a716-446655440000"'
)
data=(
  '{"kind":"tram","line":4,"position":[52.5219,13.4132]}'
  '{"kind":"counter","visits":18446744073709551616}'
  '{"kind":"text","note":"not the same as 24929"}'
  '{"kind":"day","trips":[812,797,1.0,1e3],"holiday":false}'
  '{"kind":"tram","line":12,"next":{"stop":"Am Kupfergraben","in_s":90}}'
  '{"kind":"sensor","celsius":-3.50,"label":"Küche \u2744"}'
  '{"kind":"session","user":null,"cart":[]}'
)
