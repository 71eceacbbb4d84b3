/**
 * @file The service worker: the page without a network, and isolated on hosts that send no headers
 * for it.
 */

const RELOADED = 'reckoner.isolated';

/**
 * A page is isolated from its next load on, so a first visit is loaded twice: once, and before
 * anything was done in it.
 */
export function keepOffline(): void {
  if (!('serviceWorker' in navigator)) return;
  void navigator.serviceWorker.register('./service-worker.js').then(
    () => navigator.serviceWorker.ready,
    () => null,
  );
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    if (crossOriginIsolated || sessionStorage.getItem(RELOADED) !== null) return;
    sessionStorage.setItem(RELOADED, 'yes');
    location.reload();
  });
}
