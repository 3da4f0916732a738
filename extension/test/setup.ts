// What Lumino and JupyterLab expect of a browser and jsdom lacks.
class ResizeObserverDouble {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

Object.assign(globalThis, {
  DragEvent: class extends Event {},
  ResizeObserver: ResizeObserverDouble,
  matchMedia: () => ({
    matches: false,
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  }),
  requestIdleCallback: (callback: () => void) => setTimeout(callback, 0),
  cancelIdleCallback: (handle: number) => clearTimeout(handle),
  IS_REACT_ACT_ENVIRONMENT: true
});
