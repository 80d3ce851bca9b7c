// Kafka's own tables as lines of text: API keys ("api"), what its ApiVersions answers ("advertised"), errors ("error").

import java.io.PrintStream;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ApiVersionsResponseData.ApiVersion;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.ApiVersionsResponse;

final class KafkaTables {
    static void print(PrintStream out) {
        for (ApiKeys api : ApiKeys.values()) {
            ApiMessageType type = api.messageType;
            out.println("api " + api.id + " " + api.name + " " + type.lowestSupportedVersion() + " "
                + type.highestSupportedVersion(true) + " " + type.latestVersionUnstable());
            for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                out.println("header " + api.id + " " + v + " " + type.requestHeaderVersion(v) + " "
                    + type.responseHeaderVersion(v));
            }
        }
        for (ApiVersion api : ApiVersionsResponse.filterApis(ApiMessageType.ListenerType.BROKER, false, true)) {
            out.println("advertised " + api.apiKey() + " " + api.minVersion() + " " + api.maxVersion());
        }
        for (Errors error : Errors.values()) {
            out.println("error " + error.code() + " " + error.name() + " "
                + (error.exception() instanceof RetriableException));
        }
    }
}
