// RSA moduli with known flaws, made for these tests; their factors were not kept.
#ifndef COUNTERSIGN_LIBS_CRYPTO_TEST_MODULI_H_
#define COUNTERSIGN_LIBS_CRYPTO_TEST_MODULI_H_

namespace countersign::crypto {

// Both primes are k*M + (65537^a mod M) with M the product of the first 126 primes, as
// CVE-2017-15361 made them for 2048 bits.
inline constexpr char kRocaModulusHex[] =
    "a888bf5443322ecf81941a232b911a1801ac22a4d9c87b854ca17a7720e7139a95f9486ad8f27ad083eeba1a"
    "63a65719681a0b88ebacd84016053dc0ceac319f665b1884d48e3fbbc51f79b4e93005d67b8093f5173af46d"
    "c40e27bd106eadb4dd07789527a10fbaaa83ea346163eb942050db98a6ac9007e4fdf32216a2526f2856db7c"
    "6c2dc9cb30b3297fe8aac282838c36f625fe456e7d3c4faedd29f9f8cc50f2ee86278030ea4e61fde2438053"
    "a40d0d42d1527e783d612c742bb7f403ab844137732b56b55174f90b6afc96cc01a6c78f9e2b9a2e8ccb14be"
    "694fb6c83b6c12a2ba7cbc460311c313df82eb2d868166e287c2f424743848bff7776ea5";

// Fermat's method needs 51 rounds for this one, and 151 for the next.
inline constexpr char kClosePrimesModulusHex[] =
    "ba1c175afb4ae9a4d105a7c6d0c9b744cbf8262948896a9b0c92600dcbdaf5e00ab0800f602d2a8f8bfcb316"
    "72d36328ee776bc8186a8091212ab9b44c91667abd097761f623bb6928fb5fd86b67affe32d682e576cba451"
    "f9b03f161aee2e63cbefe6d1283bc8e47b3744b98b4d41cdc77961f7c8099da34406a11c4b2fa06127247d02"
    "be52f49e86ad4ef4c33e415d32cae14c73d2b4e58345bb0bd306a495a5bb8e908b534730d20099827e1f2613"
    "c4aeea954072b2c23fb62d4b32c18f60b981f9a095eb568f11677e584a96b614bef397ac1e36b442f9e20413"
    "5600a2e1718792453e31d115d60eeb1f77746449395d65d30f666fb70d7d7f9326608e8f";
inline constexpr char kDistantPrimesModulusHex[] =
    "ba1c175afb4ae9a4d105a7c6d0c9b744cbf8262948896a9b0c92600dcbdaf5e00ab0800f602d2a8f8bfcb316"
    "72d36328ee776bc8186a8091212ab9b44c91668643f601dab7b4d165d88909a3686af138fe1a4fdc056dc8d4"
    "8e453dabc4a65d1885751cc2507646652ff39f278cb3eee0c4a6f33b3495ebed6156a394ece24c788a8a9c3c"
    "8ea8446d103989301eca76269dcf9c5d3d7bef62423479adcfb9031ff0cdb2d8a26d2c3b50538a2dfa3c2878"
    "d3b5c840fb28aa162c078a31cd9c6ba2516a85cbdf7143c0103f4bdf03379360178d78322a0e97fe427f1260"
    "b42dc6ed399f838480d6a7aecb7e559509624bb9a3b53113d82d7742a5caa4e05bed74b7";

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_TEST_MODULI_H_
