// A build starts from nothing, so that no file of an earlier one is shipped.
import { rmSync } from 'node:fs';

for (const folder of ['extension/lib', 'prodml_magics/labextension']) {
  rmSync(new URL(`../${folder}`, import.meta.url), {
    recursive: true,
    force: true
  });
}
