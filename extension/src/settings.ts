import type { ISettingRegistry } from '@jupyterlab/settingregistry';

import type { ServicesModel } from './model';

/** Apply the user's settings to the model, now and whenever they change. */
export async function follow(
  registry: ISettingRegistry | null,
  plugin: string,
  model: ServicesModel
): Promise<void> {
  if (!registry) {
    return;
  }
  try {
    const settings = await registry.load(plugin);
    const apply = () =>
      model.configure(
        settings.get('refreshInterval').composite as number,
        settings.get('timelineLength').composite as number
      );
    settings.changed.connect(apply);
    apply();
  } catch (error) {
    console.warn(`The settings of ${plugin} could not be loaded.`, error);
  }
}
