/** What two modules of one node must not both have. */
import assert from 'node:assert/strict';
import { refuseSharedClaims } from '../src/engine/module-claims.js';

describe('claims of modules', () => {
  const shop = { name: 'shop', directories: ['/srv/shop'], addresses: ['10.0.0.9', 'fd00::9'] };

  it('are refused when another module has the address, naming it and both modules', () => {
    const other = { name: 'stock', directories: ['/srv/stock'], addresses: ['10.0.0.8', 'fd00::9'] };
    assert.throws(
      () => refuseSharedClaims(other, [shop]),
      /HF_CONFIG_ADDRESS_SHARED: virtual address fd00::9 of module stock is that of module shop/,
    );
  });

  it('are refused when the directories overlap', () => {
    const other = { name: 'stock', directories: ['/srv/shop/stock'], addresses: [] };
    assert.throws(() => refuseSharedClaims(other, [shop]), /HF_CONFIG_OVERLAP/);
  });

  it('are accepted when nothing is shared', () => {
    refuseSharedClaims(shop, [{ name: 'stock', directories: ['/srv/stock'], addresses: ['10.0.0.8'] }]);
    refuseSharedClaims(shop, []);
  });
});
